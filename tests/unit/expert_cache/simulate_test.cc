#include "core/expert_cache/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

using ::testing::ElementsAre;

SimulationResult Play(const Trace& trace, const CacheOptions& cache, uint32_t warmup = 0) {
  const auto result = Simulate(trace, {cache, warmup});
  if (!result.ok()) ADD_FAILURE() << result.status();
  return result.ok() ? *result : SimulationResult{};
}

// 4 tokens, 2 layers of 3 experts, 2 slots. Sizes: 1 2 3 in the first layer, 10 20 30 in the second.
Trace HandMade() {
  Trace trace{4, 2, 3, 2};
  trace.sizes = {1, 2, 3, 10, 20, 30};
  trace.experts = {0, 1, 2, kNoExpert,   // token 0: keys 0 1, 5
                   0, 2, 2, 0,           // token 1: keys 0 2, 5 3
                   1, 0, 0, 1,           // token 2: keys 1 0, 3 4
                   0, 1, kNoExpert, 2};  // token 3: keys 0 1, 5
  return trace;
}

TEST(Simulate, AccessesComeInTheOrderOfADecoder) {
  EXPECT_THAT(AccessSequence(HandMade()), ElementsAre(0, 1, 5, 0, 2, 5, 3, 1, 0, 3, 4, 0, 1, 5));
}

// LRU with 46 bytes: all of 0 1 2 3 5 fit (46), then 4 drives out 2 and 5 (33 bytes for 20), then 5 drives out 3 and 4:
// the use of 0 and 1 is later.
TEST(Simulate, CountsByHand) {
  const SimulationResult result = Play(HandMade(), {Policy::kLru, 46});
  EXPECT_EQ(result.total.accesses, 14u);
  EXPECT_EQ(result.total.hits, 7u);
  EXPECT_DOUBLE_EQ(result.total.rate(), 0.5);
  EXPECT_THAT(result.layers, ElementsAre(HitCount{8, 5}, HitCount{6, 2}));
  EXPECT_EQ(result.bytes_loaded, 1u + 2 + 30 + 3 + 10 + 20 + 30);
  EXPECT_EQ(result.tokens, 4u);
  EXPECT_DOUBLE_EQ(result.bytes_loaded_per_token, 96.0 / 4);
  EXPECT_EQ(result.evictions, 4u);
}

TEST(Simulate, WarmUpFillsTheCacheAndIsNotCounted) {
  const SimulationResult result = Play(HandMade(), {Policy::kLru, 46}, 2);
  EXPECT_EQ(result.total, (HitCount{7, 5}));
  EXPECT_THAT(result.layers, ElementsAre(HitCount{4, 4}, HitCount{3, 1}));
  EXPECT_EQ(result.bytes_loaded, 50u);
  EXPECT_EQ(result.tokens, 2u);
  EXPECT_DOUBLE_EQ(result.bytes_loaded_per_token, 25);
  EXPECT_EQ(result.evictions, 4u);
  EXPECT_EQ(Play(HandMade(), {Policy::kLru, 46}, 3).evictions, 2u);
}

TEST(Simulate, NothingIsCountedWhenAllIsWarmUp) {
  for (const uint32_t warmup : {4u, 100u}) {
    const SimulationResult result = Play(HandMade(), {Policy::kAdaptive, 46}, warmup);
    EXPECT_EQ(result.total, HitCount{});
    EXPECT_EQ(result.total.rate(), 0);
    EXPECT_EQ(result.tokens, 0u);
    EXPECT_EQ(result.bytes_loaded_per_token, 0);
    EXPECT_EQ(result.evictions, 0u);
  }
}

TEST(Simulate, WhatIsLargerThanTheCacheIsLoadedEachTime) {
  const SimulationResult result = Play(HandMade(), {Policy::kLru, 9});
  EXPECT_EQ(result.layers[1], (HitCount{6, 0}));
  EXPECT_EQ(result.layers[0], (HitCount{8, 5}));
  EXPECT_EQ(result.bytes_loaded, 6u + 30 + 30 + 10 + 10 + 20 + 30);
}

// Expert 0 in tokens 0 and 3: two tokens pass without it.
TEST(Simulate, TimeIsTokens) {
  const Trace trace = SequenceTrace({0, 1, 1, 0}, {1, 1});
  EXPECT_EQ(Play(trace, {Policy::kTtl, 5, 3}).total.hits, 2u);
  const SimulationResult expired = Play(trace, {Policy::kTtl, 5, 2});
  EXPECT_EQ(expired.total.hits, 1u);
  EXPECT_EQ(expired.evictions, 1u);
}

TEST(Simulate, ALargeEnoughCacheMissesEachExpertOnce) {
  const Trace trace = RandomTrace(1, {.largest = 5});
  uint64_t bytes = 0;
  for (const uint64_t size : trace.sizes) bytes += size;
  for (const Policy policy : {Policy::kLru, Policy::kLfu, Policy::kAdaptive, Policy::kOptimal}) {
    const SimulationResult result = Play(trace, {policy, bytes});
    EXPECT_EQ(result.total.accesses - result.total.hits, trace.sizes.size()) << PolicyName(policy);
    EXPECT_EQ(result.bytes_loaded, bytes);
    EXPECT_EQ(result.evictions, 0u);
  }
}

TEST(Simulate, AnEmptyTraceHasNothing) {
  const SimulationResult result = Play(Trace{}, {Policy::kOptimal, 10});
  EXPECT_EQ(result.total.accesses, 0u);
  EXPECT_TRUE(result.layers.empty());
}

TEST(Simulate, RefusesTracesThatAreNone) {
  const auto reason = [](auto&& damage) {
    Trace trace = HandMade();
    damage(trace);
    return ReasonOf(Simulate(trace, {{Policy::kLru, 10}}).status());
  };
  EXPECT_EQ(reason([](Trace&) {}), "");
  EXPECT_EQ(reason([](Trace& t) { t.experts.pop_back(); }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.sizes.push_back(1); }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.experts[3] = 3; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.experts[1] = 0; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.sizes[4] = 0; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.sizes[4] = ~uint64_t{0}; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.sizes[4] = t.sizes[5] = uint64_t{1} << 62; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.tokens = t.layers = t.top_k = 1u << 31; }), "TRACE_INVALID");
  EXPECT_EQ(reason([](Trace& t) { t.experts_per_layer = kNoExpert; }), "TRACE_INVALID");
  const SimulationOptions no_half_life = {{.policy = Policy::kLfu, .half_life_tokens = 0}};
  EXPECT_EQ(ReasonOf(Simulate(HandMade(), no_half_life).status()), "CACHE_OPTIONS");
}

}  // namespace
}  // namespace nashswarm::expert_cache
