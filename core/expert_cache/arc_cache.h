// ARC: keeps apart what was used once lately (T1) and what was used again (T2), remembers the keys that left either
// (the ghosts B1 and B2), and moves the border between the two by which ghosts are asked for (N. Megiddo and D.
// Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, figure 4). A scan passes through T1 and
// leaves T2 alone.
//
// The paper counts pages of one size; here everything that it counts is bytes, c the capacity:
// - the target p of T1 is in [0, c] bytes. A hit in B1 raises it by size * max(1, B2/B1), one in B2 lowers it by size
//   * max(1, B1/B2), B1 and B2 being the bytes of the ghosts: the paper's step, for as much as was missed;
// - REPLACE is repeated until the expert fits: none, one or several leave;
// - the bounds of the paper hold in bytes: T1 + T2 <= c, T1 + B1 <= c, T1 + T2 + B1 + B2 <= 2c. They are restored
//   after the replacement by dropping the oldest ghosts of the list that is too long, which covers all cases of
//   figure 4.
// With equal sizes, and a capacity that is a multiple of them, it is the paper's algorithm, access for access. O(1) per
// access and per expert that leaves or ghost that is forgotten.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_ARC_CACHE_H_
#define NASHSWARM_CORE_EXPERT_CACHE_ARC_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/key_list.h"

namespace nashswarm::expert_cache {

class ArcCache : public ExpertCache {
 public:
  ArcCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes);

  double target_bytes() const { return target_; }                            // p
  uint64_t recent_bytes() const { return recent_.bytes(); }                  // T1
  uint64_t frequent_bytes() const { return frequent_.bytes(); }              // T2
  uint64_t recent_ghost_bytes() const { return recent_ghosts_.bytes(); }     // B1
  uint64_t frequent_ghost_bytes() const { return frequent_ghosts_.bytes(); }  // B2

  std::unique_ptr<ExpertCache> Clone() const override { return std::make_unique<ArcCache>(*this); }

 private:
  void OnHit(ExpertKey key) override;
  void OnMiss(ExpertKey key) override;
  void Adapt(ExpertKey ghost);
  void Replace(bool for_frequent_ghost);
  void ForgetGhosts(uint64_t incoming_bytes);

  double target_ = 0;
  KeyList recent_, frequent_, recent_ghosts_, frequent_ghosts_;  // the most recent in front
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_ARC_CACHE_H_
