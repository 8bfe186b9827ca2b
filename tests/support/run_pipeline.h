// Runs every stage of a job in this process, as the worker would one after another.
#ifndef NASHSWARM_TESTS_SUPPORT_RUN_PIPELINE_H_
#define NASHSWARM_TESTS_SUPPORT_RUN_PIPELINE_H_

#include <string>
#include <vector>

#include "core/pipeline/stages.h"

namespace nashswarm::testing {

class RecordingObserver : public pipeline::Observer {
 public:
  void Progress(uint64_t done, uint64_t total, const std::string& tensor) override;
  void TensorDone(const std::string& tensor, const std::string& format, double bits, double error) override;
  void Log(const std::string& severity, const std::string& text) override;

  std::vector<std::string> tensors, logs;
  uint64_t last_done = 0, last_total = 0;
};

// Paths of the texts a spec asks for.
struct Texts {
  std::string calibration, evaluation;
};

// Outputs land in `work`; the artifact in `work`/artifact. Returns publish's result.
absl::StatusOr<Json> RunPipeline(const std::string& model_dir, const std::string& work, const pipeline::Spec& spec,
                                 int threads, RecordingObserver* observer, const Texts& texts = {});

pipeline::Spec BitsPerWeight(double bits);

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_SUPPORT_RUN_PIPELINE_H_
