// A plan tried out before it is written: every tensor encoded as ENCODE would, decoded as a reader will, and the model run.
#ifndef NASHSWARM_CORE_PIPELINE_CANDIDATE_H_
#define NASHSWARM_CORE_PIPELINE_CANDIDATE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/evaluate/score.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/prepared.h"

namespace nashswarm::pipeline {

class CandidateEvaluator {
 public:
  // What is given outlives it. `windows` are scored against the checkpoint.
  CandidateEvaluator(const OpenModel& open, const Prepared& prepared, const calibrate::Moments& moments,
                     std::vector<evaluate::Window> windows, int threads);
  ~CandidateEvaluator();

  // `formats`: one per tensor. Tensors whose format has not changed since the last call are not encoded again.
  absl::StatusOr<evaluate::Score> Evaluate(const std::vector<quant::Format>& formats, const evaluate::Progress& progress);

 private:
  class EncodedWeights;
  absl::Status EncodeTensor(size_t tensor, quant::Format format);

  const OpenModel& open_;
  const Prepared& prepared_;
  Objectives objectives_;
  std::vector<evaluate::Window> windows_;
  int threads_;
  std::shared_ptr<const forward::Weights> checkpoint_;
  std::unique_ptr<forward::Transformer> reference_model_;
  evaluate::Predictions reference_;
  std::shared_ptr<EncodedWeights> encoded_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_CANDIDATE_H_
