// What calibration says about each tensor.
#ifndef NASHSWARM_CORE_PIPELINE_OBJECTIVES_H_
#define NASHSWARM_CORE_PIPELINE_OBJECTIVES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/calibrate/calibration.h"
#include "core/calibrate/objective.h"
#include "core/model/architecture.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

// The outputs of CALIBRATE in a task's inputs; both empty when the job has no such stage.
struct Calibrated {
  std::unique_ptr<calibrate::Moments> moments;
  calibrate::Calibration calibration;
};
absl::StatusOr<Calibrated> ReadCalibrated(const Task& task);

bool HasTiedHead(const model::Model& model);

// Thread-safe. `model` and `moments` (may be null) outlive it.
class Objectives {
 public:
  Objectives(const model::Model& model, const calibrate::Moments* moments)
      : model_(model), moments_(moments), tied_head_(HasTiedHead(model)) {}
  calibrate::Objective Of(size_t tensor) const {
    return calibrate::Objective::Of(model_.tensors[tensor], tied_head_, moments_);
  }

 private:
  const model::Model& model_;
  const calibrate::Moments* moments_;
  bool tied_head_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_OBJECTIVES_H_
