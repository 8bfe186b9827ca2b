#include "core/expert_cache/expert_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/base/status.h"
#include "tests/unit/expert_cache/plain_cache.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::unique_ptr<ExpertCache> Make(const CacheOptions& options, std::vector<uint64_t> sizes) {
  auto cache = MakeExpertCache(options, std::move(sizes));
  if (!cache.ok()) ADD_FAILURE() << cache.status();
  return *std::move(cache);
}

// Both give the same answer to every access and have the same contents after it.
void ExpectSameAsPlain(const CacheOptions& options, const Trace& trace) {
  const std::unique_ptr<ExpertCache> cache = Make(options, trace.sizes);
  PlainCache plain(options, trace.sizes);
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    cache->NextToken();
    plain.NextToken();
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      for (const uint16_t expert : trace.Slots(token, layer)) {
        if (expert == kNoExpert) continue;
        const ExpertKey key = trace.Key(layer, expert);
        ASSERT_EQ(cache->Access(key), plain.Access(key)) << "token " << token << ", key " << key;
        ASSERT_EQ(cache->used_bytes(), plain.used_bytes()) << "token " << token;
        for (ExpertKey k = 0; k < trace.sizes.size(); ++k) {
          ASSERT_EQ(cache->Contains(k), plain.Contains(k)) << "token " << token << ", after " << key << ", key " << k;
        }
      }
    }
  }
  EXPECT_GT(cache->evictions(), 20u) << "the trace tells nothing";
}

class PlainModels : public ::testing::TestWithParam<Policy> {};

TEST_P(PlainModels, EqualSizes) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const uint64_t capacity : {1u, 3u, 6u, 11u}) {
      const CacheOptions options{GetParam(), capacity, 3, 7};
      ExpectSameAsPlain(options, RandomTrace(seed, {}));
      if (HasFatalFailure()) return;
    }
  }
}

// Sizes of 1 to 9 in caches of 5 and more: some experts are larger than the smallest cache.
TEST_P(PlainModels, UnequalSizes) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const uint64_t capacity : {5u, 17u, 40u}) {
      const CacheOptions options{GetParam(), capacity, 5, 1 + static_cast<uint32_t>(seed)};
      ExpectSameAsPlain(options, RandomTrace(seed, {.largest = 9}));
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, PlainModels, ::testing::Values(Policy::kLru, Policy::kLfu, Policy::kTtl),
                         [](const auto& info) { return std::string(PolicyName(info.param)); });

class AllPolicies : public ::testing::TestWithParam<Policy> {};

// used_bytes is the sum of what is there, never above the capacity; who left is named, once, and is not there.
TEST_P(AllPolicies, TheBooksAreRight) {
  const Trace trace = RandomTrace(5, {.largest = 7});
  const std::unique_ptr<ExpertCache> cache = Make({GetParam(), 20, 4, 16}, trace.sizes);
  std::vector<bool> resident(trace.sizes.size());
  uint64_t left = 0;
  const auto check = [&] {
    for (const ExpertKey key : cache->evicted()) {
      ASSERT_TRUE(resident[key]);
      resident[key] = false;
      ++left;
    }
    uint64_t sum = 0;
    for (ExpertKey key = 0; key < resident.size(); ++key) {
      ASSERT_EQ(cache->Contains(key), resident[key]);
      sum += resident[key] ? trace.sizes[key] : 0;
    }
    ASSERT_EQ(cache->used_bytes(), sum);
    ASSERT_LE(sum, cache->capacity_bytes());
    ASSERT_EQ(cache->evictions(), left);
  };
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    cache->NextToken();
    check();
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      for (const uint16_t expert : trace.Slots(token, layer)) {
        if (expert == kNoExpert) continue;
        const ExpertKey key = trace.Key(layer, expert);
        ASSERT_EQ(cache->Access(key) == AccessResult::kHit, resident[key]);
        // It is large enough for each, so what was asked for is there now.
        ASSERT_THAT(cache->evicted(), ::testing::Not(::testing::Contains(key)));
        ASSERT_TRUE(cache->Contains(key));
        resident[key] = true;
        check();
      }
    }
  }
  EXPECT_GT(left, 50u);
}

TEST_P(AllPolicies, NothingFitsIntoNoBytes) {
  const std::unique_ptr<ExpertCache> cache = Make({GetParam(), 0}, {1, 2});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(cache->Access(i % 2), AccessResult::kMiss);
    EXPECT_FALSE(cache->Contains(i % 2));
    cache->NextToken();
  }
  EXPECT_EQ(cache->used_bytes(), 0u);
  EXPECT_EQ(cache->evictions(), 0u);
}

TEST_P(AllPolicies, AnExpertLargerThanTheCacheDrivesNobodyOut) {
  const std::unique_ptr<ExpertCache> cache = Make({GetParam(), 10}, {4, 6, 11});
  cache->Access(0);
  cache->Access(1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(cache->Access(2), AccessResult::kMiss);
  EXPECT_FALSE(cache->Contains(2));
  EXPECT_EQ(cache->used_bytes(), 10u);
  EXPECT_EQ(cache->Access(0), AccessResult::kHit);
  EXPECT_EQ(cache->Access(1), AccessResult::kHit);
}

TEST_P(AllPolicies, AsManyLeaveAsTheExpertNeeds) {
  const std::unique_ptr<ExpertCache> cache = Make({GetParam(), 10}, {3, 3, 3, 5});
  for (const ExpertKey key : {0, 1, 2}) cache->Access(key);
  EXPECT_EQ(cache->used_bytes(), 9u);
  EXPECT_EQ(cache->Access(3), AccessResult::kMiss);
  EXPECT_THAT(cache->evicted(), ElementsAre(0, 1));
  EXPECT_EQ(cache->used_bytes(), 8u);
  EXPECT_EQ(cache->Access(3), AccessResult::kHit);
  EXPECT_THAT(cache->evicted(), IsEmpty());
}

TEST_P(AllPolicies, ExpertsThatJustFitStay) {
  const std::unique_ptr<ExpertCache> cache = Make({GetParam(), 10}, {3, 7});
  cache->Access(0);
  cache->Access(1);
  EXPECT_EQ(cache->used_bytes(), 10u);
  EXPECT_EQ(cache->evictions(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Policies, AllPolicies, ::testing::ValuesIn(kOnlinePolicies),
                         [](const auto& info) { return std::string(PolicyName(info.param)); });

// To look is not to use: the one that was looked at is still the oldest.
TEST(ExpertCache, ContainsHasNoSideEffect) {
  const std::unique_ptr<ExpertCache> cache = Make({Policy::kLru, 2}, {1, 1, 1});
  cache->Access(0);
  cache->Access(1);
  EXPECT_TRUE(cache->Contains(0));
  cache->Access(2);
  EXPECT_FALSE(cache->Contains(0));
  EXPECT_TRUE(cache->Contains(1));
}

TEST(ExpertCache, TtlKeepsForSoManyTokensAndNoLonger) {
  const std::unique_ptr<ExpertCache> cache =
      Make({.policy = Policy::kTtl, .capacity_bytes = 9, .ttl_tokens = 2}, {4, 4});
  cache->Access(0);
  cache->NextToken();
  cache->NextToken();
  cache->Access(1);
  EXPECT_TRUE(cache->Contains(0));
  cache->NextToken();
  EXPECT_THAT(cache->evicted(), ElementsAre(0));
  EXPECT_EQ(cache->used_bytes(), 4u);
  cache->NextToken();
  EXPECT_TRUE(cache->Contains(1));
}

// Used 20 times long ago against 3 times just now: with ageing the old favourite goes, without it stays.
TEST(ExpertCache, OldPopularityFades) {
  for (const bool ageing : {true, false}) {
    const std::unique_ptr<ExpertCache> cache =
        Make({.policy = Policy::kLfu, .capacity_bytes = 2, .half_life_tokens = ageing ? 10 : ~0u}, {1, 1, 1});
    for (int i = 0; i < 20; ++i) cache->Access(0);
    for (int i = 0; i < 50; ++i) cache->NextToken();
    for (int i = 0; i < 3; ++i) cache->Access(1);
    cache->Access(2);
    EXPECT_EQ(cache->Contains(0), !ageing);
    EXPECT_EQ(cache->Contains(1), ageing);
  }
}

// Sums of powers of two would have left the range of doubles many times over.
TEST(ExpertCache, LfuRunsForever) {
  const std::unique_ptr<ExpertCache> cache =
      Make({.policy = Policy::kLfu, .capacity_bytes = 2, .half_life_tokens = 1}, {1, 1, 1});
  for (int token = 0; token < 100'000; ++token) {
    cache->NextToken();
    cache->Access(0);
    cache->Access(0);
    cache->Access(token % 2 == 0 ? 1 : 2);
    ASSERT_FALSE(cache->Contains(token % 2 == 0 ? 2 : 1)) << token;
    ASSERT_TRUE(cache->Contains(0)) << token;
  }
}

TEST(ExpertCache, PoliciesHaveNames) {
  for (const Policy policy : {Policy::kLru, Policy::kLfu, Policy::kTtl, Policy::kAdaptive, Policy::kOptimal}) {
    const auto parsed = ParsePolicy(PolicyName(policy));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, policy);
  }
  EXPECT_EQ(ReasonOf(ParsePolicy("fifo").status()), "CACHE_POLICY");
}

TEST(ExpertCache, RefusesOptionsThatMeanNothing) {
  EXPECT_EQ(ReasonOf(MakeExpertCache({Policy::kOptimal, 5}, {1}).status()), "CACHE_OPTIONS");
  EXPECT_EQ(ReasonOf(MakeExpertCache({.policy = Policy::kLfu, .half_life_tokens = 0}, {1}).status()), "CACHE_OPTIONS");
}

}  // namespace
}  // namespace nashswarm::expert_cache
