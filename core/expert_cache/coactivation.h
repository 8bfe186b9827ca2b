// Which experts a trace uses together, in a layer and from one layer to the next, and how often it uses each.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_COACTIVATION_H_
#define NASHSWARM_CORE_EXPERT_CACHE_COACTIVATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

// Counts of tokens. n is experts, the experts of a layer.
struct Coactivation {
  uint32_t layers = 0;
  uint32_t experts = 0;
  std::vector<uint32_t> load;         // [layers x n]: tokens that used it
  std::vector<uint32_t> together;     // [layers x n x n]: tokens that used both; symmetric, 0 on the diagonal
  std::vector<uint32_t> transitions;  // [(layers - 1) x n x n]: used the row in a layer and the column in the next

  absl::Span<const uint32_t> Load(uint32_t layer) const {
    return absl::Span<const uint32_t>(load).subspan(static_cast<size_t>(layer) * experts, experts);
  }
  absl::Span<const uint32_t> Together(uint32_t layer) const {
    const size_t square = static_cast<size_t>(experts) * experts;
    return absl::Span<const uint32_t>(together).subspan(layer * square, square);
  }
  // From `layer` to layer + 1, which there is.
  absl::Span<const uint32_t> Transitions(uint32_t layer) const {
    const size_t square = static_cast<size_t>(experts) * experts;
    return absl::Span<const uint32_t>(transitions).subspan(layer * square, square);
  }
};

// O(tokens x layers x top_k^2), and 8 bytes x layers x n^2. Errors: those of ValidateTrace, and RESOURCE_EXHAUSTED /
// TRACE_TOO_LARGE when a table would have more than 2^30 counts.
absl::StatusOr<Coactivation> CountCoactivation(const Trace& trace);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_COACTIVATION_H_
