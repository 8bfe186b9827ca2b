#include "core/expert_cache/lfu_cache.h"

#include <algorithm>
#include <cmath>

namespace nashswarm::expert_cache {
namespace {

// Further down a double holds nothing beside 1, and the exponent fits an int.
constexpr int64_t kForgotten = -1000;

}  // namespace

LfuCache::LfuCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, uint32_t half_life_tokens)
    : ExpertCache(capacity_bytes, std::move(sizes)), half_life_tokens_(half_life_tokens), ranks_(keys()) {}

void LfuCache::Count(ExpertKey key) {
  Rank& rank = ranks_[key];
  const auto epoch = static_cast<int64_t>(token() / half_life_tokens_);
  // In units of a use in this epoch. The exponent is above 0 only by the count itself, so at most 64.
  const double count = 1 + std::ldexp(rank.mantissa, static_cast<int>(std::max(rank.exponent - epoch, kForgotten)));
  int exponent = 0;
  rank.mantissa = std::frexp(count, &exponent);
  rank.exponent = epoch + exponent;
  rank.last_use = accesses();
}

void LfuCache::OnHit(ExpertKey key) {
  resident_.erase({ranks_[key], key});
  Count(key);
  resident_.insert({ranks_[key], key});
}

void LfuCache::OnMiss(ExpertKey key) {
  while (!Fits(key)) {
    Evict(resident_.begin()->second);
    resident_.erase(resident_.begin());
  }
  Count(key);
  resident_.insert({ranks_[key], key});
}

}  // namespace nashswarm::expert_cache
