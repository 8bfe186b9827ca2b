#include "core/pipeline/objectives.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {

absl::StatusOr<Calibrated> ReadCalibrated(const Task& task) {
  Calibrated calibrated;
  if (!task.spec.calibrates()) return calibrated;
  const size_t ready = static_cast<size_t>(ResolveThreads(task.threads)) + 1;  // every thread its own, and the next
  NS_ASSIGN_OR_RETURN(calibrated.moments, calibrate::Moments::Open(JoinPath(task.in_dir, calibrate::kMomentsFile), ready));
  NS_ASSIGN_OR_RETURN(calibrated.calibration,
                      calibrate::ReadCalibration(JoinPath(task.in_dir, calibrate::kCalibrationFile)));
  return calibrated;
}

bool HasTiedHead(const model::Model& model) {
  return std::none_of(model.tensors.begin(), model.tensors.end(),
                      [](const model::MappedTensor& t) { return t.role == model::Role::kOutput; });
}

}  // namespace nashswarm::pipeline
