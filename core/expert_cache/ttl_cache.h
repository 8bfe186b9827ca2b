// What was not used for some tokens leaves; before its time only where there is no room, the longest unused first.
// The time is counted from the last use, so that the one used longest ago is also the first to expire: one list in the
// order of use does for both, and it differs from LRU in what it gives back to the machine between bursts. O(1) per
// access and per expert that leaves.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_TTL_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_TTL_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/key_list.h"

namespace nashswarm::expert_cache {

class TtlCache : public ExpertCache {
 public:
  // Used last in token t, an expert is there until token t + ttl_tokens and gone when the next begins.
  TtlCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, uint32_t ttl_tokens);

  std::unique_ptr<ExpertCache> Clone() const override { return std::make_unique<TtlCache>(*this); }

 private:
  void OnHit(ExpertKey key) override;
  void OnMiss(ExpertKey key) override;
  void OnNextToken() override;
  void Use(ExpertKey key);

  const uint32_t ttl_tokens_;
  KeyList list_;  // the most recently used in front
  std::vector<uint64_t> last_use_;  // token, by key
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_TTL_CACHE_H_
