#include "core/expert_cache/lru_cache.h"

#include <utility>

namespace nashswarm::expert_cache {

LruCache::LruCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes)
    : ExpertCache(capacity_bytes, std::move(sizes)), list_(keys()) {}

void LruCache::OnHit(ExpertKey key) {
  list_.Remove(key);
  list_.PushFront(key, size(key));
}

void LruCache::OnMiss(ExpertKey key) {
  while (!Fits(key)) Evict(list_.PopBack());
  list_.PushFront(key, size(key));
}

}  // namespace nashswarm::expert_cache
