// Which tokens of a batch look at each other.
#ifndef NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_
#define NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::routing {

// Neighbours of token i: of[start[i]] to of[start[i + 1] - 1], in rising order. Symmetric, never the token itself.
struct Neighbours {
  std::vector<uint32_t> start;  // tokens + 1
  std::vector<uint32_t> of;
  bool empty() const { return start.empty(); }
};

// Each token names, of the block of 128 consecutive tokens it is in, the 7 whose logits have the greatest inner
// product with its own, each token's mean logit taken off; of equal ones the lower index; fewer in a last block of
// fewer than 8. Two tokens are neighbours when either names the other. logits [tokens x experts], finite. Products
// that overflow to NaN make no neighbours.
Neighbours FindNeighbours(absl::Span<const float> logits, size_t tokens, size_t experts);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_NEIGHBOURS_H_
