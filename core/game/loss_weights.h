// Default loss weights a_t, for as long as no calibration has measured them.
#ifndef NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_
#define NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_

#include <cstdint>

#include "core/model/architecture.h"

namespace nashswarm::game {

// The loss per unit of relative error and per weight of a role, next to that of a feed-forward matrix.
//
// | role                                | factor |
// | token embedding, head tied to it    | 5      |
// | output head of its own              | 5      |
// | position embedding                  | 6      |
// | key, value                          | 6      |
// | query                               | 1.5    |
// | all others                          | 1      |
//
// Measured by injection (one tensor alone rounded to steps of half its standard deviation, KL divergence of the
// predictions divided by relative error and size) on a GPT-2 of 6 M weights and two LLaMA-shaped models of 0.3 and 0.7 M;
// the factors are geometric means over the models, which differ by up to five times either way: a default, no truth.
// An output head of its own was not measured and takes the tied one's factor; an embedding of its own takes 1.
double RoleWeight(model::Role role, bool tied_head);

// a_t = RoleWeight * number of weights: a tensor's relative error counts by its size.
double DefaultLossWeight(const model::MappedTensor& tensor, bool tied_head);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_LOSS_WEIGHTS_H_
