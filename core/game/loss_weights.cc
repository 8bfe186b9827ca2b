#include "core/game/loss_weights.h"

namespace nashswarm::game {

double RoleWeight(model::Role role, bool tied_head) {
  switch (role) {
    case model::Role::kTokenEmbedding:
      return tied_head ? 5 : 1;
    case model::Role::kOutput:
      return 5;
    case model::Role::kPositionEmbedding:
    case model::Role::kKey:
    case model::Role::kValue:
      return 6;
    case model::Role::kQuery:
      return 1.5;
    default:
      return 1;
  }
}

double DefaultLossWeight(const model::MappedTensor& tensor, bool tied_head) {
  return RoleWeight(tensor.role, tied_head) * static_cast<double>(tensor.weights()) * tensor.token_share;
}

}  // namespace nashswarm::game
