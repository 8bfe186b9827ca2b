// How far a long command is, on standard error: a bar on a terminal, else a line every ten seconds.
#ifndef NASHSWARM_CORE_ENGINE_PROGRESS_LINE_H_
#define NASHSWARM_CORE_ENGINE_PROGRESS_LINE_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace nashswarm::engine {

class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();  // takes the bar away
  void Show(const std::string& what, uint64_t done, uint64_t total);

 private:
  std::string Text(const std::string& what, uint64_t done, uint64_t total) const;

  bool terminal_;
  bool shown_ = false;
  std::string what_;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_PROGRESS_LINE_H_
