// The least recently used expert leaves. O(1) per access and per expert that leaves.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_LRU_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_LRU_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/key_list.h"

namespace nashswarm::expert_cache {

class LruCache : public ExpertCache {
 public:
  LruCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes);

  std::unique_ptr<ExpertCache> Clone() const override { return std::make_unique<LruCache>(*this); }

 private:
  void OnHit(ExpertKey key) override;
  void OnMiss(ExpertKey key) override;

  KeyList list_;  // the most recently used in front
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_LRU_CACHE_H_
