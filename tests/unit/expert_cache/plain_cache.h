// The policies as one would explain them: all uses are written down, and every question is answered by going through
// them. Slow and without cleverness, to hold the caches against.
#ifndef NASHSWARM_TESTS_UNIT_EXPERT_CACHE_PLAIN_CACHE_H_
#define NASHSWARM_TESTS_UNIT_EXPERT_CACHE_PLAIN_CACHE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "core/expert_cache/expert_cache.h"

namespace nashswarm::expert_cache {

class PlainCache {
 public:
  PlainCache(const CacheOptions& options, std::vector<uint64_t> sizes) : options_(options), sizes_(std::move(sizes)) {}

  void NextToken() {
    ++token_;
    if (options_.policy != Policy::kTtl) return;
    for (const ExpertKey key : std::set<ExpertKey>(resident_)) {
      if (token_ > uses_[key].back().token + options_.ttl_tokens) resident_.erase(key);
    }
  }

  AccessResult Access(ExpertKey key) {
    const bool hit = Contains(key);
    if (!hit && sizes_[key] <= options_.capacity_bytes) {
      while (used_bytes() + sizes_[key] > options_.capacity_bytes) resident_.erase(Victim());
      resident_.insert(key);
    }
    uses_[key].push_back({++accesses_, token_});
    return hit ? AccessResult::kHit : AccessResult::kMiss;
  }

  bool Contains(ExpertKey key) const { return resident_.contains(key); }
  uint64_t used_bytes() const {
    uint64_t sum = 0;
    for (const ExpertKey key : resident_) sum += sizes_[key];
    return sum;
  }

 private:
  struct Use {
    uint64_t access, token;
  };

  ExpertKey Victim() {
    return *std::min_element(resident_.begin(), resident_.end(),
                             [&](ExpertKey a, ExpertKey b) { return Worth(a) < Worth(b); });
  }
  // How often, then how lately.
  std::pair<double, uint64_t> Worth(ExpertKey key) {
    const uint64_t last = uses_[key].back().access;
    if (options_.policy != Policy::kLfu) return {0, last};
    double sum = 0;
    for (const Use& use : uses_[key]) {
      const uint64_t halvings = token_ / options_.half_life_tokens - use.token / options_.half_life_tokens;
      sum += std::pow(0.5, static_cast<double>(halvings));
    }
    return {sum, last};
  }

  CacheOptions options_;
  std::vector<uint64_t> sizes_;
  std::set<ExpertKey> resident_;
  std::map<ExpertKey, std::vector<Use>> uses_;
  uint64_t token_ = 0, accesses_ = 0;
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_TESTS_UNIT_EXPERT_CACHE_PLAIN_CACHE_H_
