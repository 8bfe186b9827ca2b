#include "core/expert_cache/arc_cache.h"

#include <algorithm>
#include <utility>

namespace nashswarm::expert_cache {
namespace {

// How much more the other ghosts weigh than those that were hit, at least 1. The ghosts that were hit have bytes.
double Ratio(const KeyList& other, const KeyList& hit) {
  return std::max(1.0, static_cast<double>(other.bytes()) / static_cast<double>(hit.bytes()));
}

}  // namespace

ArcCache::ArcCache(uint64_t capacity_bytes, std::vector<uint64_t> sizes)
    : ExpertCache(capacity_bytes, std::move(sizes)),
      recent_(keys()),
      frequent_(keys()),
      recent_ghosts_(keys()),
      frequent_ghosts_(keys()) {}

void ArcCache::OnHit(ExpertKey key) {
  (recent_.Contains(key) ? recent_ : frequent_).Remove(key);
  frequent_.PushFront(key, size(key));
}

void ArcCache::OnMiss(ExpertKey key) {
  const bool recent_ghost = recent_ghosts_.Contains(key), frequent_ghost = frequent_ghosts_.Contains(key);
  if (recent_ghost || frequent_ghost) {
    Adapt(key);
    // Before the replacement, which fills these lists: its bytes move to T2, so no bound of the ghosts is touched.
    (recent_ghost ? recent_ghosts_ : frequent_ghosts_).Remove(key);
  }
  while (!Fits(key)) Replace(frequent_ghost);
  if (recent_ghost || frequent_ghost) {
    frequent_.PushFront(key, size(key));
    return;
  }
  ForgetGhosts(size(key));
  recent_.PushFront(key, size(key));
}

void ArcCache::Adapt(ExpertKey ghost) {
  const auto bytes = static_cast<double>(size(ghost)), most = static_cast<double>(capacity_bytes());
  if (recent_ghosts_.Contains(ghost)) {
    target_ = std::min(target_ + bytes * Ratio(frequent_ghosts_, recent_ghosts_), most);
  } else {
    target_ = std::max(target_ - bytes * Ratio(recent_ghosts_, frequent_ghosts_), 0.0);
  }
}

// The paper's REPLACE: T1 gives when it is above its target, T2 else; at the target, T1 when a ghost of T2 came back.
void ArcCache::Replace(bool for_frequent_ghost) {
  const auto recent = static_cast<double>(recent_.bytes());
  const bool from_recent =
      !recent_.empty() && (recent > target_ || (for_frequent_ghost && recent == target_) || frequent_.empty());
  const ExpertKey key = from_recent ? recent_.PopBack() : frequent_.PopBack();
  (from_recent ? recent_ghosts_ : frequent_ghosts_).PushFront(key, size(key));
  Evict(key);
}

// So that the bounds hold when a new expert of so many bytes has entered T1.
void ArcCache::ForgetGhosts(uint64_t incoming_bytes) {
  while (!recent_ghosts_.empty() && recent_.bytes() + recent_ghosts_.bytes() + incoming_bytes > capacity_bytes()) {
    recent_ghosts_.PopBack();
  }
  // All that are not in B2 have at most 2c bytes by now, so that B2 can give enough.
  // A capacity of which there is no double has room for all: no expert ever left it, and there are no ghosts.
  const uint64_t rest = recent_.bytes() + frequent_.bytes() + recent_ghosts_.bytes() + incoming_bytes;
  while (!frequent_ghosts_.empty() && rest + frequent_ghosts_.bytes() > 2 * capacity_bytes()) {
    frequent_ghosts_.PopBack();
  }
}

}  // namespace nashswarm::expert_cache
