#include "core/expert_cache/expert_cache.h"

#include <utility>

#include "core/base/status.h"
#include "core/expert_cache/arc_cache.h"
#include "core/expert_cache/lfu_cache.h"
#include "core/expert_cache/lru_cache.h"
#include "core/expert_cache/ttl_cache.h"

namespace nashswarm::expert_cache {
namespace {

constexpr std::pair<Policy, std::string_view> kPolicies[] = {{Policy::kLru, "lru"},
                                                             {Policy::kLfu, "lfu"},
                                                             {Policy::kTtl, "ttl"},
                                                             {Policy::kAdaptive, "adaptive"},
                                                             {Policy::kOptimal, "optimal"}};

absl::Status BadOptions(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CACHE_OPTIONS",
                   absl::StrCat("cache of experts: ", ToAbsl(what)));
}

}  // namespace

std::string_view PolicyName(Policy policy) {
  for (const auto& [value, name] : kPolicies) {
    if (value == policy) return name;
  }
  return "unknown";
}

absl::StatusOr<Policy> ParsePolicy(std::string_view name) {
  for (const auto& [value, known] : kPolicies) {
    if (known == name) return value;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "CACHE_POLICY",
                   absl::StrCat("no cache policy is called \"", ToAbsl(name), "\""),
                   "use lru, lfu, ttl, adaptive or optimal");
}

ExpertCache::ExpertCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes)
    : capacity_(capacity_bytes), sizes_(std::move(sizes)), resident_(sizes_.size()) {}

AccessResult ExpertCache::Access(ExpertKey key) {
  evicted_.clear();
  ++accesses_;
  if (resident_[key]) {
    OnHit(key);
    return AccessResult::kHit;
  }
  if (sizes_[key] > capacity_) return AccessResult::kMiss;
  OnMiss(key);
  resident_[key] = true;
  used_ += sizes_[key];
  return AccessResult::kMiss;
}

void ExpertCache::NextToken() {
  evicted_.clear();
  ++token_;
  OnNextToken();
}

void ExpertCache::Evict(ExpertKey key) {
  resident_[key] = false;
  used_ -= sizes_[key];
  ++evictions_;
  evicted_.push_back(key);
}

absl::StatusOr<std::unique_ptr<ExpertCache>> MakeExpertCache(const CacheOptions& options, std::vector<uint64_t> sizes) {
  switch (options.policy) {
    case Policy::kLru:
      return std::make_unique<LruCache>(options.capacity_bytes, std::move(sizes));
    case Policy::kLfu:
      if (options.half_life_tokens == 0) return BadOptions("a half-life of 0 tokens leaves nothing to count");
      return std::make_unique<LfuCache>(options.capacity_bytes, std::move(sizes), options.half_life_tokens);
    case Policy::kTtl:
      return std::make_unique<TtlCache>(options.capacity_bytes, std::move(sizes), options.ttl_tokens);
    case Policy::kAdaptive:
      return std::make_unique<ArcCache>(options.capacity_bytes, std::move(sizes));
    case Policy::kOptimal:
      break;
  }
  return BadOptions("the optimal policy needs the accesses to come");
}

}  // namespace nashswarm::expert_cache
