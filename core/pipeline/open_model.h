// A checkpoint, opened and mapped to an architecture.
#ifndef NASHSWARM_CORE_PIPELINE_OPEN_MODEL_H_
#define NASHSWARM_CORE_PIPELINE_OPEN_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"

namespace nashswarm::pipeline {

// A checkpoint with its mapping; the mapping points into the checkpoint.
struct OpenModel {
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Model model;
};
// Errors: those of Checkpoint::Open and model::MapModel.
absl::StatusOr<OpenModel> OpenAndMap(const std::string& directory);

// The head is the embedding. Looks at every tensor.
bool HasTiedHead(const model::Model& model);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_OPEN_MODEL_H_
