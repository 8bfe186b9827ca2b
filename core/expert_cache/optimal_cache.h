// Belady's MIN: of the experts in the cache, the one whose next use is farthest leaves (L. Belady, "A study of
// replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966). It knows all accesses to
// come, so it is no policy for a decoder but the bound to hold the others against.
//
// When all experts have the same size, no policy that loads what it misses has more hits over the whole trace. When
// sizes differ it is a heuristic only (the best choice is then NP-hard: M. Chrobak et al., "Caching is hard, even in
// the fault model", Algorithmica 63, 2012), and another policy can come out better; likewise when the first tokens
// are not counted.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_OPTIMAL_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_OPTIMAL_CACHE_H_

#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/expert_cache/expert_cache.h"

namespace nashswarm::expert_cache {

// O(log n) per access and per expert that leaves, 8 bytes per access of the future.
class OptimalCache : public ExpertCache {
 public:
  // `future`: the keys that Access will get, in this order; each below sizes.size(). Not kept.
  OptimalCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, absl::Span<const ExpertKey> future);

  std::unique_ptr<ExpertCache> Clone() const override { return std::make_unique<OptimalCache>(*this); }

 private:
  void OnHit(ExpertKey key) override;
  void OnMiss(ExpertKey key) override;
  void Enter(ExpertKey key);

  std::vector<uint64_t> next_use_;                   // by access: the number of the next one to the same key, or kNever
  std::vector<uint64_t> due_;                        // by key: its next use as entered in resident_
  std::set<std::pair<uint64_t, ExpertKey>> resident_;  // next use and key
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_OPTIMAL_CACHE_H_
