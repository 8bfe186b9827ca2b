#include "core/expert_cache/arc_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "core/expert_cache/simulate.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

// The algorithm of the paper for pages of size 1, its cases as figure 4 lists them.
class PaperArc {
 public:
  explicit PaperArc(size_t capacity) : c_(capacity) {}

  bool Access(ExpertKey x) {
    if (Take(t1_, x) || Take(t2_, x)) {
      t2_.push_front(x);
      return true;
    }
    if (Has(b1_, x)) {
      p_ = std::min<double>(static_cast<double>(c_), p_ + std::max(1.0, Size(b2_) / Size(b1_)));
      Replace(false);
      Take(b1_, x);
      t2_.push_front(x);
    } else if (Has(b2_, x)) {
      p_ = std::max(0.0, p_ - std::max(1.0, Size(b1_) / Size(b2_)));
      Replace(true);
      Take(b2_, x);
      t2_.push_front(x);
    } else {
      if (t1_.size() + b1_.size() == c_) {
        if (t1_.size() < c_) {
          b1_.pop_back();
          Replace(false);
        } else {
          t1_.pop_back();
        }
      } else if (const size_t all = t1_.size() + t2_.size() + b1_.size() + b2_.size(); all >= c_) {
        if (all == 2 * c_) b2_.pop_back();
        Replace(false);
      }
      t1_.push_front(x);
    }
    return false;
  }

  double p() const { return p_; }
  const std::deque<ExpertKey>&t1() const { return t1_; }
  const std::deque<ExpertKey>&t2() const { return t2_; }
  const std::deque<ExpertKey>&b1() const { return b1_; }
  const std::deque<ExpertKey>&b2() const { return b2_; }

 private:
  using List = std::deque<ExpertKey>;
  static double Size(const List& list) { return static_cast<double>(list.size()); }
  static bool Has(const List& list, ExpertKey x) { return std::find(list.begin(), list.end(), x) != list.end(); }
  static bool Take(List& list, ExpertKey x) {
    const auto found = std::find(list.begin(), list.end(), x);
    if (found == list.end()) return false;
    list.erase(found);
    return true;
  }
  void Replace(bool in_b2) {
    const bool first = !t1_.empty() && (Size(t1_) > p_ || (in_b2 && Size(t1_) == p_));
    List &from = first ? t1_ : t2_, &to = first ? b1_ : b2_;
    to.push_front(from.back());
    from.pop_back();
  }

  size_t c_;
  double p_ = 0;
  List t1_, t2_, b1_, b2_;
};

// Phases of loops, of a few favourites and of scans, so that the target wanders.
std::vector<ExpertKey> MixedSequence(uint64_t seed, size_t length, uint32_t keys) {
  std::mt19937_64 random(seed);
  std::vector<ExpertKey> sequence;
  while (sequence.size() < length) {
    const uint64_t kind = random() % 3, first = random() % keys, width = 3 + random() % 12, count = 20 + random() % 60;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t place = kind == 0 ? i % width : kind == 1 ? std::min(random() % width, random() % width) : i;
      sequence.push_back(static_cast<ExpertKey>((first + place) % keys));
    }
  }
  return sequence;
}

TEST(ArcCache, IsThePapersAlgorithmForEqualSizes) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    for (const uint64_t size : {1u, 4u}) {
      const uint64_t pages = 1 + seed % 12;
      ArcCache cache(pages * size, std::vector<uint64_t>(40, size));
      PaperArc paper(pages);
      double lowest = 1e9, highest = 0;
      for (const ExpertKey key : MixedSequence(seed, 4000, 40)) {
        ASSERT_EQ(cache.Access(key) == AccessResult::kHit, paper.Access(key)) << seed;
        const double unit = static_cast<double>(size);
        ASSERT_EQ(cache.target_bytes(), paper.p() * unit) << seed;
        ASSERT_EQ(cache.recent_bytes(), paper.t1().size() * size) << seed;
        ASSERT_EQ(cache.frequent_bytes(), paper.t2().size() * size) << seed;
        ASSERT_EQ(cache.recent_ghost_bytes(), paper.b1().size() * size) << seed;
        ASSERT_EQ(cache.frequent_ghost_bytes(), paper.b2().size() * size) << seed;
        lowest = std::min(lowest, paper.p());
        highest = std::max(highest, paper.p());
      }
      EXPECT_GT(highest, lowest) << "the sequence moves nothing";
    }
  }
}

TEST(ArcCache, BoundsHoldInBytes) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<uint64_t> sizes(40);
    for (uint64_t& size : sizes) size = 1 + random() % 20;
    const uint64_t c = 15 + seed * 3;
    ArcCache cache(c, sizes);
    double highest = 0;
    bool lowered = false;
    for (const ExpertKey key : MixedSequence(seed, 4000, 40)) {
      const double before = cache.target_bytes();
      cache.Access(key);
      lowered |= cache.target_bytes() < before;
      highest = std::max(highest, cache.target_bytes());
      ASSERT_GE(cache.target_bytes(), 0);
      ASSERT_LE(cache.target_bytes(), static_cast<double>(c));
      ASSERT_EQ(cache.recent_bytes() + cache.frequent_bytes(), cache.used_bytes());
      ASSERT_LE(cache.used_bytes(), c);
      ASSERT_LE(cache.recent_bytes() + cache.recent_ghost_bytes(), c);
      ASSERT_LE(cache.used_bytes() + cache.recent_ghost_bytes() + cache.frequent_ghost_bytes(), 2 * c);
      ASSERT_EQ(cache.Contains(key), sizes[key] <= c);
    }
    EXPECT_GT(highest, 0) << "the sequence moves nothing";
    EXPECT_TRUE(lowered) << "the sequence moves nothing";
  }
}

// A capacity as large as numbers go: twice that does not exist.
TEST(ArcCache, HasRoomForAllWithoutOverflow) {
  ArcCache cache(~uint64_t{0}, {5, 6, 7});
  for (int i = 0; i < 9; ++i) EXPECT_EQ(cache.Access(i % 3) == AccessResult::kHit, i >= 3);
  EXPECT_EQ(cache.used_bytes(), 18u);
}

// Hits of a policy on a sequence of keys, all of one byte.
uint64_t Hits(Policy policy, uint64_t capacity, const std::vector<uint16_t>& sequence, uint16_t keys) {
  SimulationOptions options;
  options.cache = {policy, capacity, ~0u, ~0u};
  const auto result = Simulate(SequenceTrace(sequence, std::vector<uint64_t>(keys, 1)), options);
  if (!result.ok()) ADD_FAILURE() << result.status();
  return result.ok() ? result->total.hits : 0;
}

// 8 keys that come again in each round and 12 that never do: 19 others between two uses, in a cache of 16. The keys
// that come again do so at once in the first round: before, nothing tells them from the others.
TEST(ArcCache, AScanDoesNotDriveOutWhatComesAgain) {
  std::vector<uint16_t> sequence = {0, 1, 2, 3, 4, 5, 6, 7};
  uint16_t fresh = 8;
  for (int round = 0; round < 200; ++round) {
    for (uint16_t hot = 0; hot < 8; ++hot) sequence.push_back(hot);
    for (int i = 0; i < 12; ++i) sequence.push_back(fresh++);
  }
  EXPECT_EQ(Hits(Policy::kLru, 16, sequence, fresh), 8u);
  EXPECT_GE(Hits(Policy::kAdaptive, 16, sequence, fresh), 200u * 8);
}

// Favourites that stay the same, with scans: what was used often is the best guess.
TEST(ArcCache, ComesNearLfuWhereFrequencyTells) {
  std::mt19937_64 random(3);
  std::vector<uint16_t> sequence;
  for (int round = 0; round < 300; ++round) {
    for (int i = 0; i < 40; ++i) {
      const uint64_t drawn = std::min({random() % 60, random() % 60, random() % 60});
      sequence.push_back(static_cast<uint16_t>(drawn));
    }
    for (int i = 0; i < 40; ++i) sequence.push_back(static_cast<uint16_t>(60 + (round * 40 + i) % 4000));
  }
  const uint64_t lfu = Hits(Policy::kLfu, 30, sequence, 4060), lru = Hits(Policy::kLru, 30, sequence, 4060);
  const uint64_t arc = Hits(Policy::kAdaptive, 30, sequence, 4060);
  EXPECT_GT(lfu * 10, lru * 13) << "the trace does not tell them apart";
  EXPECT_GE(arc * 100, lfu * 90) << arc << " of " << lfu << ", LRU " << lru;
}

// Favourites that change: what was used often is of no use any more.
TEST(ArcCache, ComesNearLruWhereRecencyTells) {
  std::mt19937_64 random(4);
  std::vector<uint16_t> sequence;
  for (int i = 0; i < 20'000; ++i) sequence.push_back(static_cast<uint16_t>(i / 40 + random() % 20));
  const uint64_t lfu = Hits(Policy::kLfu, 16, sequence, 600), lru = Hits(Policy::kLru, 16, sequence, 600);
  const uint64_t arc = Hits(Policy::kAdaptive, 16, sequence, 600);
  EXPECT_GT(lru * 10, lfu * 13) << "the trace does not tell them apart";
  EXPECT_GE(arc * 100, lru * 95) << arc << " of " << lru << ", LFU " << lfu;
}

}  // namespace
}  // namespace nashswarm::expert_cache
