#include "core/game/loss_weights.h"

namespace nashswarm::game {

double RoleWeight(model::Role role, bool tied_head) { return 1; }

double DefaultLossWeight(const model::MappedTensor& tensor, bool tied_head) {
  return RoleWeight(tensor.role, tied_head) * static_cast<double>(tensor.weights());
}

}  // namespace nashswarm::game
