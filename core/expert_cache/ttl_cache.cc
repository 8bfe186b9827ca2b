#include "core/expert_cache/ttl_cache.h"

#include <utility>

namespace nashswarm::expert_cache {

TtlCache::TtlCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes, uint32_t ttl_tokens)
    : ExpertCache(capacity_bytes, std::move(sizes)), ttl_tokens_(ttl_tokens), list_(keys()), last_use_(keys()) {}

void TtlCache::Use(ExpertKey key) {
  list_.PushFront(key, size(key));
  last_use_[key] = token();
}

void TtlCache::OnHit(ExpertKey key) {
  list_.Remove(key);
  Use(key);
}

void TtlCache::OnMiss(ExpertKey key) {
  while (!Fits(key)) Evict(list_.PopBack());
  Use(key);
}

void TtlCache::OnNextToken() {
  while (!list_.empty() && token() - last_use_[list_.Back()] > ttl_tokens_) Evict(list_.PopBack());
}

}  // namespace nashswarm::expert_cache
