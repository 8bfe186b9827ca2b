// A plan tried out before it is written: every tensor encoded as ENCODE would, decoded as a reader will, and the model run.
#ifndef NASHSWARM_CORE_PIPELINE_CANDIDATE_H_
#define NASHSWARM_CORE_PIPELINE_CANDIDATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/calibrate/overlay.h"
#include "core/evaluate/score.h"
#include "core/pipeline/files/choice.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_inputs.h"

namespace nashswarm::pipeline {

class CandidateEvaluator {
 public:
  // What is given outlives it. `windows` are scored against the checkpoint.
  CandidateEvaluator(const StageInputs& in, std::vector<evaluate::Window> windows, int threads);
  ~CandidateEvaluator();

  struct Tried {
    evaluate::Score score;            // with agreement
    uint64_t bytes = 0;               // of all tensors
    std::vector<uint64_t> tensor_bytes;
    std::vector<std::optional<double>> distortions;  // where only encoding shows them
    std::vector<Choice> choices;      // what was encoded
    double step_factor = 1;           // of EvaluateAt: between the steps asked for and what most of them became
    double mean_kl() const { return score.agreement->mean_kl; }
  };
  // `choices`: one per tensor. Tensors whose choice has not changed since the last call are not encoded again.
  absl::StatusOr<Tried> Evaluate(const std::vector<Choice>& choices, const evaluate::Progress& progress);

  // The same, with steps brought to at most `budget` bytes in all, and nearly as many (step_search.h): what
  // ENCODE will make of the plan. Without steps as Evaluate.
  absl::StatusOr<Tried> EvaluateAt(uint64_t budget, std::vector<Choice> choices, const evaluate::Progress& progress);

  // The mean KL divergence with the tensors as the last call encoded them, but one as in the checkpoint.
  absl::StatusOr<double> KlWithExact(size_t tensor, const evaluate::Progress& progress);

 private:
  struct Slot {
    Choice choice;
    bool encoded = false;
    uint64_t bytes = 0;
    std::optional<double> distortion;
  };
  absl::Status EncodeTensors(const std::vector<Choice>& choices);
  absl::Status Spend(uint64_t budget, std::vector<Choice>* choices);
  absl::StatusOr<evaluate::Score> ScoreNow(const evaluate::Progress& progress);
  uint64_t BytesNow() const;
  Tried Describe(evaluate::Score score) const;

  const Prepared& prepared_;
  std::unique_ptr<TensorTrials> trials_;
  std::vector<evaluate::Window> windows_;
  int threads_;
  std::shared_ptr<const forward::Weights> checkpoint_;
  std::unique_ptr<forward::Transformer> reference_model_;
  evaluate::Predictions reference_;
  std::shared_ptr<calibrate::OverlayWeights> overlay_;
  std::vector<Slot> slots_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_CANDIDATE_H_
