// Which experts a mixture-of-experts decoder used, token by token: what caches are simulated on and layouts planned
// from.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_TRACE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_TRACE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace nashswarm::expert_cache {

// An expert of a layer as one number, layer * experts_per_layer + expert: what caches store is found in arrays by it.
using ExpertKey = uint32_t;

// A slot of the trace that names no expert: a layer without experts, or a router that chose fewer than top_k.
inline constexpr uint16_t kNoExpert = 0xFFFF;

struct Trace {
  uint32_t tokens = 0;
  uint32_t layers = 0;
  uint32_t experts_per_layer = 0;  // below kNoExpert
  uint32_t top_k = 0;
  std::vector<uint16_t> experts;  // [tokens x layers x top_k], in the order a decoder asks for them
  std::vector<uint64_t> sizes;    // [layers x experts_per_layer] bytes, by ExpertKey

  ExpertKey Key(uint32_t layer, uint32_t expert) const { return layer * experts_per_layer + expert; }
  // The top_k slots of a token in a layer, kNoExpert among them. The trace keeps them.
  absl::Span<const uint16_t> Slots(uint32_t token, uint32_t layer) const {
    return absl::Span<const uint16_t>(experts).subspan((static_cast<size_t>(token) * layers + layer) * top_k, top_k);
  }
};

// INVALID_ARGUMENT / TRACE_INVALID when the lengths do not fit the shape, a slot names no expert of the layer, a
// token uses an expert twice in a layer, an expert that is used has no bytes, or all experts together have 2^63 bytes
// or more. Everything else in this folder takes traces that passed. O(slots x top_k).
absl::Status ValidateTrace(const Trace& trace);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_TRACE_H_
