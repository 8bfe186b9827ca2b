#include "core/expert_cache/simulate.h"

#include <memory>

#include "core/base/status.h"
#include "core/expert_cache/optimal_cache.h"

namespace nashswarm::expert_cache {
namespace {

absl::StatusOr<std::unique_ptr<ExpertCache>> CacheFor(const Trace& trace, const CacheOptions& options) {
  if (options.policy != Policy::kOptimal) return MakeExpertCache(options, trace.sizes);
  return std::make_unique<OptimalCache>(options.capacity_bytes, trace.sizes, AccessSequence(trace));
}

void Count(const Trace& trace, uint32_t layer, ExpertKey key, AccessResult access, SimulationResult& result) {
  const bool hit = access == AccessResult::kHit;
  for (HitCount* count : {&result.total, &result.layers[layer]}) {
    ++count->accesses;
    count->hits += hit ? 1 : 0;
  }
  if (!hit) result.bytes_loaded += trace.sizes[key];
}

}  // namespace

std::vector<ExpertKey> AccessSequence(const Trace& trace) {
  std::vector<ExpertKey> keys;
  keys.reserve(trace.experts.size());
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      for (const uint16_t expert : trace.Slots(token, layer)) {
        if (expert != kNoExpert) keys.push_back(trace.Key(layer, expert));
      }
    }
  }
  return keys;
}

absl::StatusOr<SimulationResult> Simulate(const Trace& trace, const SimulationOptions& options) {
  NS_RETURN_IF_ERROR(ValidateTrace(trace));
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<ExpertCache> cache, CacheFor(trace, options.cache));
  SimulationResult result;
  result.layers.resize(trace.layers);
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    const bool counted = token >= options.warmup_tokens;
    const uint64_t evictions_before = cache->evictions();
    // The first token begins with the decoder: no time has passed.
    if (token > 0) cache->NextToken();
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      for (const uint16_t expert : trace.Slots(token, layer)) {
        if (expert == kNoExpert) continue;
        const ExpertKey key = trace.Key(layer, expert);
        const AccessResult access = cache->Access(key);
        if (counted) Count(trace, layer, key, access, result);
      }
    }
    if (!counted) continue;
    ++result.tokens;
    result.evictions += cache->evictions() - evictions_before;
  }
  if (result.tokens > 0) {
    result.bytes_loaded_per_token = static_cast<double>(result.bytes_loaded) / static_cast<double>(result.tokens);
  }
  return result;
}

}  // namespace nashswarm::expert_cache
