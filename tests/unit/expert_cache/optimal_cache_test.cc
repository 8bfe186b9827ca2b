#include "core/expert_cache/optimal_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

#include "core/expert_cache/simulate.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

// The most hits from access `i` on, whoever leaves: all choices are tried. Keys of size 1; `resident` is a set of bits.
uint64_t MostHits(const std::vector<uint16_t>& sequence, size_t i, uint32_t resident, int capacity) {
  if (i == sequence.size()) return 0;
  const uint32_t key = 1u << sequence[i];
  if ((resident & key) != 0) return 1 + MostHits(sequence, i + 1, resident, capacity);
  if (std::popcount(resident) < capacity) return MostHits(sequence, i + 1, resident | key, capacity);
  uint64_t most = 0;
  for (uint32_t victim = 1; victim <= resident; victim <<= 1) {
    if ((resident & victim) == 0) continue;
    most = std::max(most, MostHits(sequence, i + 1, (resident ^ victim) | key, capacity));
  }
  return most;
}

SimulationResult Play(const Trace& trace, const CacheOptions& cache) {
  SimulationOptions options;
  options.cache = cache;
  const auto result = Simulate(trace, options);
  if (!result.ok()) ADD_FAILURE() << result.status();
  return result.ok() ? *result : SimulationResult{};
}

TEST(OptimalCache, NoChoiceIsBetterForEqualSizes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    const int capacity = 1 + static_cast<int>(random() % 3);
    const uint64_t keys = 3 + random() % 3;
    std::vector<uint16_t> sequence(12);
    for (uint16_t& key : sequence) key = static_cast<uint16_t>(random() % keys);
    const Trace trace = SequenceTrace(sequence, std::vector<uint64_t>(keys, 1));
    const SimulationResult result = Play(trace, {Policy::kOptimal, static_cast<uint64_t>(capacity)});
    ASSERT_EQ(result.total.hits, MostHits(sequence, 0, 0, capacity)) << i;
  }
}

TEST(OptimalCache, NoPolicyIsBetterForEqualSizes) {
  bool better = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Trace trace = RandomTrace(seed, {.tokens = 300, .layers = 3, .experts = 12, .smallest = 7, .largest = 7});
    for (const uint64_t capacity : {7u, 50u, 100u, 200u}) {
      const uint64_t most = Play(trace, {Policy::kOptimal, capacity}).total.hits;
      for (const Policy policy : kOnlinePolicies) {
        const uint64_t hits = Play(trace, {policy, capacity, 20, 30}).total.hits;
        EXPECT_GE(most, hits) << PolicyName(policy) << ", capacity " << capacity << ", seed " << seed;
        better |= most > hits + 100;
      }
    }
  }
  EXPECT_TRUE(better) << "the traces tell nothing";
}

TEST(OptimalCache, UnequalSizesStayWithinTheCapacity) {
  const Trace trace = RandomTrace(2, {.largest = 9});
  const std::vector<ExpertKey> future = AccessSequence(trace);
  OptimalCache cache(20, trace.sizes, future);
  for (const ExpertKey key : future) {
    cache.Access(key);
    ASSERT_TRUE(cache.Contains(key));
    ASSERT_LE(cache.used_bytes(), 20u);
  }
  EXPECT_GT(cache.evictions(), 20u);
}

// An access that is not kept is one of the sequence all the same.
TEST(OptimalCache, AnExpertLargerThanTheCacheDoesNotShiftTheFuture) {
  const std::vector<uint16_t> sequence = {3, 0, 3, 1, 3, 2, 0, 3, 0, 1};
  const SimulationResult result = Play(SequenceTrace(sequence, {1, 1, 1, 5}), {Policy::kOptimal, 2});
  // 0 1 are kept until 2 comes and drives out 1, whose next use is the farthest.
  EXPECT_EQ(result.total.hits, 2u);
  EXPECT_EQ(result.bytes_loaded, 4u * 5 + 4);
}

TEST(OptimalCache, NothingFitsIntoNoBytes) {
  const SimulationResult result = Play(SequenceTrace({0, 0, 0}, {1}), {Policy::kOptimal, 0});
  EXPECT_EQ(result.total.hits, 0u);
  EXPECT_EQ(result.evictions, 0u);
}

}  // namespace
}  // namespace nashswarm::expert_cache
