// The order in which the Fiedler vector of a graph puts its vertices.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_SPECTRAL_H_
#define NASHSWARM_CORE_EXPERT_CACHE_SPECTRAL_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::expert_cache {

// A permutation of 0 .. vertices - 1 in which neighbours tend to be near: the vertices by their coordinate in the
// Fiedler vector, the eigenvector of the second lowest eigenvalue of the Laplacian D - W. It minimises sum w_ab (x_a
// - x_b)^2 over vectors x of length 1 that sum to 0: the arrangement with real numbers for places and squares for
// distances (M. Juvan and B. Mohar, "Optimal linear labelings and eigenvalues of graphs", Discrete Applied
// Mathematics 36, 1992). Parts of the graph that nothing connects follow one another, the one with the lowest vertex
// first.
//
// `weights` is [vertices x vertices], symmetric, its diagonal ignored. Deterministic. O(vertices^2) for each of at
// most kPowerIterations.
inline constexpr int kPowerIterations = 3000;
std::vector<uint32_t> SpectralOrder(absl::Span<const uint32_t> weights, uint32_t vertices);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_SPECTRAL_H_
