#include "core/expert_cache/coactivation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

using ::testing::ElementsAre;

TEST(Coactivation, CountsByHand) {
  Trace trace{3, 2, 3, 2};
  trace.sizes.assign(6, 1);
  trace.experts = {0, 1, 2, kNoExpert,   //
                   1, 0, 2, 1,           //
                   2, 1, 0, kNoExpert};
  const auto counts = CountCoactivation(trace);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_THAT(counts->Load(0), ElementsAre(2, 3, 1));
  EXPECT_THAT(counts->Load(1), ElementsAre(1, 1, 2));
  EXPECT_THAT(counts->Together(0), ElementsAre(0, 2, 0,  //
                                               2, 0, 1,  //
                                               0, 1, 0));
  EXPECT_THAT(counts->Together(1), ElementsAre(0, 0, 0,  //
                                               0, 0, 1,  //
                                               0, 1, 0));
  // Rows: the first layer. 0 was followed by 2, then by 2 and 1; 1 by those and by 0; 2 by 0.
  EXPECT_THAT(counts->Transitions(0), ElementsAre(0, 1, 2,  //
                                                  1, 1, 2,  //
                                                  1, 0, 0));
  EXPECT_EQ(counts->transitions.size(), 9u);
}

// An expert is followed by the one of the same number, which is another expert: that is counted too.
TEST(Coactivation, SumsAgreeWithTheLoad) {
  const Trace trace = RandomTrace(9, {.tokens = 300, .layers = 4, .experts = 9, .top_k = 3});
  const auto counts = CountCoactivation(trace);
  ASSERT_TRUE(counts.ok()) << counts.status();
  for (uint32_t layer = 0; layer + 1 < trace.layers; ++layer) {
    uint64_t transitions = 0, expected = 0;
    for (const uint32_t count : counts->Transitions(layer)) transitions += count;
    for (uint32_t token = 0; token < trace.tokens; ++token) {
      const auto used = [&](uint32_t l) {
        const auto slots = trace.Slots(token, l);
        return slots.size() - static_cast<size_t>(std::count(slots.begin(), slots.end(), kNoExpert));
      };
      expected += used(layer) * used(layer + 1);
    }
    EXPECT_EQ(transitions, expected);
  }
}

TEST(Coactivation, OneLayerHasNoTransitionsAndNoLayerHasNothing) {
  const auto one = CountCoactivation(RandomTrace(1, {.layers = 1}));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_TRUE(one->transitions.empty());
  const auto none = CountCoactivation(Trace{});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->together.empty());
}

TEST(Coactivation, RefusesWhatItCannotHold) {
  Trace trace{0, 1000, 2000, 2};
  trace.sizes.assign(2'000'000, 1);
  EXPECT_EQ(ReasonOf(CountCoactivation(trace).status()), "TRACE_TOO_LARGE");
  trace.sizes.pop_back();
  EXPECT_EQ(ReasonOf(CountCoactivation(trace).status()), "TRACE_INVALID");
}

}  // namespace
}  // namespace nashswarm::expert_cache
