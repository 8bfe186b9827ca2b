#include "core/pipeline/open_model.h"

#include <algorithm>

#include "core/base/status.h"

namespace nashswarm::pipeline {

absl::StatusOr<OpenModel> OpenAndMap(const std::string& directory) {
  OpenModel open;
  NS_ASSIGN_OR_RETURN(open.checkpoint, checkpoint::Checkpoint::Open(directory));
  NS_ASSIGN_OR_RETURN(open.model, model::MapModel(*open.checkpoint));
  return open;
}

bool HasTiedHead(const model::Model& model) {
  return std::none_of(model.tensors.begin(), model.tensors.end(),
                      [](const model::MappedTensor& t) { return t.role == model::Role::kOutput; });
}

}  // namespace nashswarm::pipeline
