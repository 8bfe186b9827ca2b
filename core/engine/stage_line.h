// Stages of a job that runs in this process, on the progress line; their warnings become notes.
#ifndef NASHSWARM_CORE_ENGINE_STAGE_LINE_H_
#define NASHSWARM_CORE_ENGINE_STAGE_LINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/engine/progress_line.h"
#include "core/pipeline/stages.h"

namespace nashswarm::engine {

class StageLine : public pipeline::Observer {
 public:
  explicit StageLine(std::vector<std::string>* notes) : notes_(notes) {}  // not owned; each note once

  void Begin(const std::string& stage);
  // In front of every stage; empty: nothing.
  void SetPrefix(std::string prefix) { prefix_ = std::move(prefix); }

  void Progress(uint64_t done, uint64_t total, const std::string& what) override;
  void TensorDone(const std::string&, const std::string&, double, double) override {}
  void Log(const std::string& severity, const std::string& text) override;

 private:
  std::vector<std::string>* notes_;
  ProgressLine line_;
  std::string prefix_, stage_;
  uint64_t last_done_ = 0;
  int part_ = 1;
};

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_STAGE_LINE_H_
