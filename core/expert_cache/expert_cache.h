// A cache of experts with a limit in bytes: which of them stay in memory while a decoder asks for one after the
// other. It decides and counts; it holds no bytes of experts itself. The same classes serve simulation (simulate.h)
// and a decoder, which frees what evicted() names.
//
// An expert that is not in the cache is loaded by the access and stays, those that the policy chooses having left
// until it fits. One larger than the whole cache is loaded for the access alone and never kept: a miss each time, and
// it drives nobody out. Time is the number of tokens begun.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_EXPERT_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_EXPERT_CACHE_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

enum class Policy {
  kLru,       // the least recently used leaves (lru_cache.h)
  kLfu,       // the least often used leaves, old uses counting less (lfu_cache.h)
  kTtl,       // what was not used for so many tokens leaves (ttl_cache.h)
  kAdaptive,  // ARC, between recency and frequency by what it regrets (arc_cache.h)
  kOptimal,   // Belady's MIN, which knows the future (optimal_cache.h): a bound for reports, not for decoders
};
std::string_view PolicyName(Policy policy);  // "lru", "lfu", "ttl", "adaptive", "optimal"
// INVALID_ARGUMENT / CACHE_POLICY when no policy is called so.
absl::StatusOr<Policy> ParsePolicy(std::string_view name);

struct CacheOptions {
  Policy policy = Policy::kLru;
  uint64_t capacity_bytes = 0;
  uint32_t ttl_tokens = 64;         // kTtl: an expert stays for so many tokens after the one that used it last
  uint32_t half_life_tokens = 256;  // kLfu: each time so many tokens have passed, all uses until then count half
};

enum class AccessResult { kHit, kMiss };

// Deterministic. Not thread-safe. `key` is below the number of sizes everywhere.
class ExpertCache {
 public:
  virtual ~ExpertCache() = default;
  ExpertCache& operator=(const ExpertCache&) = delete;
  // Another in the same state: to see what accesses would do.
  virtual std::unique_ptr<ExpertCache> Clone() const = 0;

  AccessResult Access(ExpertKey key);
  // A token begins: time goes on. Experts may leave.
  void NextToken();

  bool Contains(ExpertKey key) const { return resident_[key]; }  // no side effect
  uint64_t used_bytes() const { return used_; }                  // never above capacity_bytes()
  uint64_t capacity_bytes() const { return capacity_; }
  uint64_t evictions() const { return evictions_; }  // experts that left since the beginning, for whatever reason
  // Those that left in the last Access or NextToken, in that order; valid until the next.
  absl::Span<const ExpertKey> evicted() const { return evicted_; }

 protected:
  ExpertCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes);
  ExpertCache(const ExpertCache&) = default;

  // What a policy does: follow a hit; make room for a missing key (Evict until Fits) and enter it in its own lists, the
  // base does the rest. Neither is called for an expert larger than the cache.
  virtual void OnHit(ExpertKey key) = 0;
  virtual void OnMiss(ExpertKey key) = 0;
  virtual void OnNextToken() {}

  bool Fits(ExpertKey key) const { return sizes_[key] <= capacity_ - used_; }
  void Evict(ExpertKey key);  // the policy takes it from its lists itself
  uint64_t size(ExpertKey key) const { return sizes_[key]; }
  size_t keys() const { return sizes_.size(); }
  uint64_t token() const { return token_; }        // calls of NextToken
  uint64_t accesses() const { return accesses_; }  // with the one that is going on

 private:
  const uint64_t capacity_;
  const std::vector<uint64_t> sizes_;  // bytes, by key
  std::vector<bool> resident_;         // by key
  std::vector<ExpertKey> evicted_;
  uint64_t used_ = 0, evictions_ = 0, token_ = 0, accesses_ = 0;
};

// An empty cache for experts of these sizes: bytes, by key, together below 2^63, those that are used above 0, as
// ValidateTrace sees to for Trace::sizes. INVALID_ARGUMENT / CACHE_OPTIONS for
// kOptimal, which needs the accesses to come (optimal_cache.h), and for a half-life of 0 tokens.
absl::StatusOr<std::unique_ptr<ExpertCache>> MakeExpertCache(const CacheOptions& options, std::vector<uint64_t> sizes);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_EXPERT_CACHE_H_
