// In which order the experts of a layer should lie in a file, so that those used together are neighbours: the linear
// arrangement problem, NP-hard (M. Garey, D. Johnson, L. Stockmeyer, "Some simplified NP-complete graph problems",
// Theoretical Computer Science 1, 1976), attacked with a spectral order and local search (J. Petit, "Experiments on the
// minimum linear arrangement problem", ACM Journal of Experimental Algorithmics 8, 2003).
//
// `weights` is [experts x experts] everywhere, symmetric, its diagonal ignored: Coactivation::Together of a layer.
// Errors: INVALID_ARGUMENT / WEIGHTS_INVALID when it is not so, when there are more than kMostOrderedExperts, or when a
// cost might not fit 63 bits; INVALID_ARGUMENT / ORDER_INVALID for an order that is no permutation.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_EXPERT_ORDER_H_
#define NASHSWARM_CORE_EXPERT_CACHE_EXPERT_ORDER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::expert_cache {

// The expert at each position: order[position].
using ExpertOrder = std::vector<uint32_t>;

// The search looks at all swaps, each in linear time: half a second for 256 experts, a quarter of a minute for so many.
inline constexpr uint32_t kMostOrderedExperts = 1024;

// 0, 1, 2, ...
ExpertOrder OriginalOrder(uint32_t experts);

absl::Status ValidateOrder(absl::Span<const uint32_t> order, uint32_t experts);

// sum over pairs a < b of w_ab * |position of a - position of b|.
absl::StatusOr<uint64_t> ArrangementCost(absl::Span<const uint32_t> weights, absl::Span<const uint32_t> order);

// An order of low cost, never above that of the original order: the better of two local searches, from the spectral
// order and from the original, each until no expert can be moved to another place and no two can be swapped to lower
// the cost. Not always the lowest: of up to 8 experts with random weights in 98 of 100 cases, else within 6 %.
// Deterministic.
absl::StatusOr<ExpertOrder> OrderExperts(absl::Span<const uint32_t> weights, uint32_t experts);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_EXPERT_ORDER_H_
