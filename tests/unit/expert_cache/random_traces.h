// Traces and sequences of accesses for the tests of this folder.
#ifndef NASHSWARM_TESTS_UNIT_EXPERT_CACHE_RANDOM_TRACES_H_
#define NASHSWARM_TESTS_UNIT_EXPERT_CACHE_RANDOM_TRACES_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

inline constexpr Policy kOnlinePolicies[] = {Policy::kLru, Policy::kLfu, Policy::kTtl, Policy::kAdaptive};

struct TraceShape {
  uint32_t tokens = 200, layers = 2, experts = 8, top_k = 2;
  uint64_t smallest = 1, largest = 1;  // sizes
};

// Experts of which the first of each layer are used more often, in a rotation that goes on with the tokens, so that
// both frequency and recency say something. Now and then a slot is empty.
inline Trace RandomTrace(uint64_t seed, const TraceShape& shape) {
  std::mt19937_64 random(seed);
  Trace trace{shape.tokens, shape.layers, shape.experts, shape.top_k};
  for (uint32_t key = 0; key < shape.layers * shape.experts; ++key) {
    trace.sizes.push_back(shape.smallest + random() % (shape.largest - shape.smallest + 1));
  }
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    for (uint32_t layer = 0; layer < shape.layers; ++layer) {
      const size_t first = trace.experts.size();
      while (trace.experts.size() < first + shape.top_k) {
        // The lower of two draws: a falling density.
        const uint64_t drawn = std::min(random() % shape.experts, random() % shape.experts);
        auto expert = static_cast<uint16_t>((drawn + token / 60) % shape.experts);
        if (random() % 16 == 0) expert = kNoExpert;
        const auto begin = trace.experts.begin() + static_cast<std::ptrdiff_t>(first);
        if (expert != kNoExpert && std::find(begin, trace.experts.end(), expert) != trace.experts.end()) continue;
        trace.experts.push_back(expert);
      }
    }
  }
  return trace;
}

// One layer, one expert per token: the sequence itself. `sizes` by expert.
inline Trace SequenceTrace(const std::vector<uint16_t>& sequence, const std::vector<uint64_t>& sizes) {
  return Trace{static_cast<uint32_t>(sequence.size()), 1, static_cast<uint32_t>(sizes.size()), 1, sequence, sizes};
}

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_TESTS_UNIT_EXPERT_CACHE_RANDOM_TRACES_H_
