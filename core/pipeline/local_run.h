// Stages of a job run in this process, one after another, in a scratch directory: for commands that look at many sizes of one
// model. What does not depend on the size is done once.
#ifndef NASHSWARM_CORE_PIPELINE_LOCAL_RUN_H_
#define NASHSWARM_CORE_PIPELINE_LOCAL_RUN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/calibrate/calibration.h"
#include "core/nsq/quantizer.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/players.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

struct LocalJob {
  std::string model_dir;
  Spec spec;                                        // its target does not matter
  std::string calibration_path, evaluation_path;    // as the spec says
  nsq::Settings nsq_settings;
  int threads = 0;                                  // 0: every core
  Observer* observer = nullptr;                     // not owned, outlives the run
  std::function<void(const std::string&)> on_stage = [](const std::string&) {};  // hears which stage begins
};

// The prepared, calibrated and measured model. Not thread-safe. Takes its scratch directory with it.
class LocalRun {
 public:
  // PREPARE, CALIBRATE when the spec asks for it, MEASURE. `like`: a run of the same model, texts and seed, whose calibration
  // is taken over (null: none); it may go before this one. INTERNAL / CALIBRATION_MISSING when it has none to give.
  static absl::StatusOr<std::unique_ptr<LocalRun>> Measure(LocalJob job, const LocalRun* like = nullptr);

  const Prepared& prepared() const { return in_.prepared; }
  const calibrate::Calibration& calibration() const { return in_.calibrated.calibration; }  // empty when the spec does not calibrate
  bool has_measured_weights() const { return !calibration().loss_weights.empty(); }  // predicted losses are nats
  std::string moments_path() const { return JoinPath(scratch_.path(), calibrate::kMomentsFile); }
  uint64_t smallest_file() const;
  // The loss when nothing of any tensor is left: what makes a loss without measured weights a relative error.
  double loss_of_zeros() const;

  struct Prediction {
    uint64_t bytes = 0;       // of the weight file; of nsq: at most
    double loss = 0;
    bool at_the_top = false;  // a larger file would not lower the loss
  };
  // The best plan whose weight file has at most `file_bytes`. INVALID_ARGUMENT / TARGET_INFEASIBLE.
  absl::StatusOr<Prediction> Predict(uint64_t file_bytes) const;

  struct Made {
    std::unique_ptr<TemporaryDirectory> directory;  // with the weight file, while this lives
    std::string path;                               // of the weight file
    uint64_t bytes = 0;                             // its size
    double predicted_loss = 0;                      // by SOLVE
    int search_rounds = 0;                          // that were run
    std::optional<Evaluation> evaluation;           // when the spec evaluates
  };
  // SOLVE, SEARCH where the spec wants it, ENCODE, EVALUATE for another target: `target` gives that and `search`, all else is
  // the job's.
  absl::StatusOr<Made> Make(const Spec& target) const;

 private:
  LocalRun(LocalJob job, TemporaryDirectory scratch) : job_(std::move(job)), scratch_(std::move(scratch)) {}
  absl::Status Start(const LocalRun* like);
  absl::Status Solve(Task task, Made* made) const;
  Task TaskIn(const std::string& directory) const;

  LocalJob job_;
  TemporaryDirectory scratch_;
  StageInputs in_;  // without moments, which no function here looks at
  Players players_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_LOCAL_RUN_H_
