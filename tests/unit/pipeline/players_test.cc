#include "core/pipeline/players.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/pipeline/kinds/step_strategies.h"

namespace nashswarm::pipeline {
namespace {

struct Added {
  game::Player player;
  std::vector<Choice> choices;
};

Added Add(const std::vector<StepPoint>& curve) {
  Added added;
  AddStepStrategies(curve, &added.player, &added.choices);
  return added;
}

TEST(PlayersTest, StrategiesLieAtAndBetweenTheMeasuredSteps) {
  // Two octaves: 16 strategies each, and the last point.
  const Added added = Add({{1, 4000, 0.01}, {2, 3000, 0.04}, {4, 2000, 0.16}});
  ASSERT_EQ(added.player.strategies.size(), 33u);
  ASSERT_EQ(added.choices.size(), 33u);
  EXPECT_EQ(added.player.strategies[0].bytes, 4000u);
  EXPECT_EQ(added.player.strategies[16].bytes, 3000u);
  EXPECT_EQ(added.player.strategies[32].bytes, 2000u);
  EXPECT_DOUBLE_EQ(added.choices[0].step, 1);
  EXPECT_DOUBLE_EQ(added.choices[16].step, 2);
  EXPECT_DOUBLE_EQ(added.choices[32].step, 4);
  // Half way in the logarithm of the step: the mean of bytes, the geometric mean of distortions.
  EXPECT_EQ(added.player.strategies[8].bytes, 3500u);
  EXPECT_NEAR(added.player.strategies[8].distortion, 0.02, 1e-9);
  EXPECT_NEAR(added.choices[8].step, std::sqrt(2.0), 1e-12);
}

TEST(PlayersTest, NoiseCannotMakeAFinerStepAWorseOne) {
  // The middle point came out worse than the coarser one.
  const Added added = Add({{1, 4000, 0.01}, {2, 3000, 0.17}, {4, 2000, 0.16}});
  for (size_t s = 1; s < added.player.strategies.size(); ++s) {
    EXPECT_LE(added.player.strategies[s - 1].distortion, added.player.strategies[s].distortion) << s;
    EXPECT_GE(added.player.strategies[s - 1].bytes, added.player.strategies[s].bytes) << s;
  }
}

TEST(PlayersTest, AnExactPointHasALogarithmToo) {
  const Added added = Add({{1, 10, 0}, {2, 10, 0}});
  for (const game::Strategy& strategy : added.player.strategies) {
    EXPECT_GE(strategy.distortion, 0);
    EXPECT_LT(strategy.distortion, 1e-9);
  }
}

TEST(PlayersTest, ChoicesOfAPlanAreItsStrategies) {
  Players players;
  players.choices = {{{quant::Format::kQ4_K, 0}, {quant::Format::kQ6_K, 0}}, {{quant::Format::kF32, 0.5}}};
  players.players.resize(2);
  game::Plan plan;
  plan.choice = {1, 0};
  const std::vector<Choice> chosen = players.ChoicesOf(plan);
  EXPECT_EQ(chosen[0].name(), "Q6_K");
  EXPECT_EQ(chosen[1].name(), "nsq");
  EXPECT_EQ(chosen[1].step, 0.5);
}

// Two tensors of one stack, and one alone: by itself the first would take the small strategy, and the second the large one.
TEST(PlayersTest, ACoalitionPlaysOneStrategy) {
  Players players;
  players.players = {{"a", 1, {{100, 0.2}, {200, 0.1}}}, {"b", 10, {{100, 0.2}, {200, 0.1}}}, {"c", 3, {{100, 0.2}, {200, 0.1}}}};
  players.coalition = {2, 0, 1};
  EXPECT_EQ(players.SmallestBytes(), 300u);
  const auto enough = players.Solve(500);
  ASSERT_TRUE(enough.ok()) << enough.status();
  EXPECT_EQ(enough->choice, (std::vector<int>{1, 1, 0}));
  EXPECT_EQ(enough->bytes, 500u);
  EXPECT_NEAR(enough->loss, 11 * 0.1 + 3 * 0.2, 1e-12);
  const auto little = players.Solve(400);
  EXPECT_EQ(little->choice, (std::vector<int>{0, 0, 1})) << "there is no room for both of the stack";
}

}  // namespace
}  // namespace nashswarm::pipeline
