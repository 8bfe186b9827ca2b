// The least often used expert leaves; of those used equally often, the one used longest ago.
//
// Uses are counted for all experts, in the cache or not (else one that returns would begin at nothing and leave at
// once), and they age: a text changes its subject, and experts that served the last one would otherwise keep the
// place of those that serve this. Ageing is by halving, as the "reset" of TinyLFU (G. Einziger, R. Friedman, B.
// Manes, ACM Transactions on Storage 13(4), 2017), but without rounding and without a sweep over all
// counters: with h the half-life in tokens, a use in token t counts 2^floor(t / h), which ranks like halving
// everything each h tokens. The sums are kept as mantissa and exponent, so that they neither overflow nor depend on
// how long the decoder has run; uses more than 53 half-lives older than the newest are rounded away. O(log n) per
// access and per expert that leaves.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_LFU_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_LFU_CACHE_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/expert_cache/expert_cache.h"

namespace nashswarm::expert_cache {

class LfuCache : public ExpertCache {
 public:
  // `half_life_tokens` is above 0; 2^32 - 1 as good as never halves.
  LfuCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, uint32_t half_life_tokens);

  std::unique_ptr<ExpertCache> Clone() const override { return std::make_unique<LfuCache>(*this); }

 private:
  // mantissa * 2^exponent, the mantissa in [0.5, 1), then the time of the last use: compared in this order, the lowest
  // leaves first. The last use is another for every key.
  struct Rank {
    int64_t exponent = 0;
    double mantissa = 0;  // 0: never used
    uint64_t last_use = 0;
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };

  void OnHit(ExpertKey key) override;
  void OnMiss(ExpertKey key) override;
  void Count(ExpertKey key);

  const uint32_t half_life_tokens_;
  std::vector<Rank> ranks_;                      // by key
  std::set<std::pair<Rank, ExpertKey>> resident_;
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_LFU_CACHE_H_
