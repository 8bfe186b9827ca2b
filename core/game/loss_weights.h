// Default loss weights a_t, for as long as no calibration has measured them.
#ifndef NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_
#define NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_

#include <cstdint>

#include "core/model/architecture.h"

namespace nashswarm::game {

// a_t = weights * RoleWeight(role): a tensor's relative error counts by its size. The loss of a plan is then the mean
// relative error times the number of weights, weighted by role.
double DefaultLossWeight(const model::MappedTensor& tensor, bool tied_head);

// The factor of a role, 1 for an average matrix.
double RoleWeight(model::Role role, bool tied_head);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_
