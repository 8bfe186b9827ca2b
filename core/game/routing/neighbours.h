// Who flies beside whom: the nearest tokens of each token, and how near experts are to the centre of a token's group.
#ifndef NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_
#define NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::routing {

// Of token t: to[first[t]] ... to[first[t + 1] - 1]. If a is b's neighbour, b is a's.
struct Neighbours {
  std::vector<uint64_t> first;
  std::vector<uint32_t> to;
};

// The kNeighbours nearest of each token among the 128 consecutive ones it belongs to, by the inner product of their logits
// less their means; and whoever names it. Tokens that stand near in the text, so that the cost stays linear in their number.
Neighbours NearestTokens(absl::Span<const float> logits, uint64_t experts);

// cos(c_e, centre of the token's group), tokens x experts; `in_group` [tokens x experts] is 1 or 0. 0 where a row is zero.
std::vector<float> CosineToCentre(absl::Span<const float> centres, absl::Span<const float> in_group, uint64_t experts);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_
