#include "core/expert_cache/optimal_cache.h"

#include <iterator>
#include <limits>

namespace nashswarm::expert_cache {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

}  // namespace

OptimalCache::OptimalCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, absl::Span<const ExpertKey> future)
    : ExpertCache(capacity_bytes, std::move(sizes)), next_use_(future.size()), due_(keys(), kNever) {
  std::vector<uint64_t> seen(keys(), kNever);
  for (size_t i = future.size(); i-- > 0;) {
    next_use_[i] = seen[future[i]];
    seen[future[i]] = i;
  }
}

void OptimalCache::Enter(ExpertKey key) {
  due_[key] = next_use_[accesses() - 1];
  resident_.insert({due_[key], key});
}

void OptimalCache::OnHit(ExpertKey key) {
  resident_.erase({due_[key], key});
  Enter(key);
}

void OptimalCache::OnMiss(ExpertKey key) {
  while (!Fits(key)) {
    const auto farthest = std::prev(resident_.end());
    Evict(farthest->second);
    resident_.erase(farthest);
  }
  Enter(key);
}

}  // namespace nashswarm::expert_cache
