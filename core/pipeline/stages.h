// The stages of a job: prepare, calibrate, measure, solve, search, encode, evaluate, publish. Each reads the files of earlier stages and writes its
// own (names and flow: core/engine/README.md). The same inputs give the same bytes at any thread count.
#ifndef NASHSWARM_CORE_PIPELINE_STAGES_H_
#define NASHSWARM_CORE_PIPELINE_STAGES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/nsq/quantizer.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// Where a stage reports; any thread may call, one at a time.
class Observer {
 public:
  virtual ~Observer() = default;
  // Weights, or tokens in calibrate and evaluate; `what` is a tensor or what is being done.
  virtual void Progress(uint64_t done, uint64_t total, const std::string& what) = 0;
  virtual void TensorDone(const std::string& tensor, const std::string& format, double bits_per_weight,
                          double relative_error) = 0;
  virtual void Log(const std::string& severity, const std::string& text) = 0;
};

struct Task {
  std::string model_dir;      // the checkpoint
  std::string in_dir;         // outputs of earlier stages
  std::string out_dir;        // takes this stage's
  Spec spec;
  int shard = 0;
  int threads = 0;            // 0: every core
  std::string source_digest;  // hex, of the model's manifest; goes into the artifact's manifest
  Observer* observer = nullptr;  // not owned
  std::string calibration_path, evaluation_path;  // texts or an imatrix, as the spec says
  Json history = Json::array();  // of publish: results of the earlier stages' tasks, [{"stage", "shard", "result"}]
  // The text that calibrates or is measured on, of which the tokenizer of the artifact is tried out; "": none.
  std::string sample_path() const;
  bool compares = true;       // of EVALUATE: measures llama.cpp's preset of about the size too, for the report
  nsq::Settings nsq_settings = {};  // of MEASURE and ENCODE; other than the default only to see what a part of nsq is worth
};

// Each returns the fields of its "result" event; by name: stage_table.h.
absl::StatusOr<Json> Validate(const Task& task);
absl::StatusOr<Json> Prepare(const Task& task);
absl::StatusOr<Json> Calibrate(const Task& task);
absl::StatusOr<Json> Measure(const Task& task);
absl::StatusOr<Json> SolvePlan(const Task& task);
absl::StatusOr<Json> Search(const Task& task);   // shard: the round
absl::StatusOr<Json> Encode(const Task& task);
absl::StatusOr<Json> Evaluate(const Task& task);
absl::StatusOr<Json> Publish(const Task& task);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_STAGES_H_
