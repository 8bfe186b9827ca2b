// What the stages after PREPARE work on: the checkpoint, and what the stages before them found out.
#ifndef NASHSWARM_CORE_PIPELINE_STAGE_INPUTS_H_
#define NASHSWARM_CORE_PIPELINE_STAGE_INPUTS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/calibrate/calibration.h"
#include "core/calibrate/objective.h"
#include "core/model/architecture.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

class ArtifactKind;

// The outputs of CALIBRATE in a task's inputs; both empty when the job has no such stage.
struct Calibrated {
  std::unique_ptr<calibrate::Moments> moments;
  calibrate::Calibration calibration;
};

// prepared.json, with every tensor's place in `model`. Errors: those of Prepared::Read, and STAGE_FILE_INVALID for a tensor that
// the model does not have.
absl::StatusOr<Prepared> ReadPrepared(const std::string& directory, const model::Model& model);

struct StageInputs {
  const ArtifactKind* kind = nullptr;  // of the task's spec
  OpenModel open;
  Prepared prepared;
  Calibrated calibrated;
  bool tied_head = false;              // the head is the embedding

  // Reads them. Errors: those of FindKind, OpenAndMap, ReadPrepared, Moments::Open and ReadCalibration.
  static absl::StatusOr<StageInputs> Open(const Task& task);

  // A tensor of the artifact as the model maps it: names and row order of calibration.
  const model::MappedTensor& source(size_t tensor) const { return open.model.tensors[prepared.tensors[tensor].mapped]; }
  calibrate::Objective ObjectiveOf(size_t tensor) const {
    return calibrate::Objective::Of(source(tensor), tied_head, calibrated.moments.get());
  }
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_STAGE_INPUTS_H_
