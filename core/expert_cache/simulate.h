// What a cache would have done on a trace: hits, and the bytes that a decoder would have loaded.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_SIMULATE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_SIMULATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

struct HitCount {
  uint64_t accesses = 0;
  uint64_t hits = 0;
  double rate() const { return accesses == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(accesses); }
  friend bool operator==(const HitCount&, const HitCount&) = default;
};

// Everything is counted after the warm-up only.
struct SimulationResult {
  HitCount total;
  std::vector<HitCount> layers;     // by layer
  uint64_t tokens = 0;              // that were counted
  uint64_t bytes_loaded = 0;        // of all misses
  uint64_t evictions = 0;           // experts that left, those included whose time had run out
  double bytes_loaded_per_token = 0;  // 0 without tokens
};

struct SimulationOptions {
  CacheOptions cache;
  uint32_t warmup_tokens = 0;  // the first tokens fill the cache and are not counted
};

// Plays the trace into an empty cache. Errors: those of ValidateTrace and MakeExpertCache, but kOptimal is allowed.
absl::StatusOr<SimulationResult> Simulate(const Trace& trace, const SimulationOptions& options);

// All accesses of the trace in their order: token by token, layer by layer, slot by slot. The trace is valid.
std::vector<ExpertKey> AccessSequence(const Trace& trace);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_SIMULATE_H_
