#include "core/game/best_response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Rosenthal 1973, "A class of games possessing pure-strategy Nash equilibria": a strategy is a set of resources; each
// costs every user the same, depending on how many there are. The potential is the sum over resources of their cost
// with 1, 2, ... up to all their users.
struct Congestion {
  std::vector<std::vector<std::vector<int>>> strategies;  // per player and strategy, the resources
  std::vector<std::vector<double>> costs;                 // per resource, with 1, 2, ... users

  std::vector<int> Load(absl::Span<const int> profile) const {
    std::vector<int> load(costs.size());
    for (size_t i = 0; i < profile.size(); ++i) {
      for (const int r : strategies[i][profile[i]]) ++load[r];
    }
    return load;
  }
  FiniteGame Game() const {
    FiniteGame game;
    for (const auto& player : strategies) game.strategies.push_back(static_cast<int>(player.size()));
    game.cost = [this](absl::Span<const int> profile, int player) {
      const std::vector<int> load = Load(profile);
      double cost = 0;
      for (const int r : strategies[player][profile[player]]) cost += costs[r][load[r] - 1];
      return cost;
    };
    game.potential = [this](absl::Span<const int> profile) {
      const std::vector<int> load = Load(profile);
      double sum = 0;
      for (size_t r = 0; r < load.size(); ++r)
        sum += std::accumulate(costs[r].begin(), costs[r].begin() + load[r], 0.0);
      return sum;
    };
    return game;
  }
};

FiniteGame MatchingPennies() {
  return {.strategies = {2, 2},
          .cost = [](absl::Span<const int> p, int player) { return (p[0] == p[1]) == (player == 0) ? 0.0 : 1.0; }};
}

// One player with these costs.
FiniteGame Alone(std::vector<double> costs) {
  return {.strategies = {static_cast<int>(costs.size())},
          .cost = [costs](absl::Span<const int> p, int) { return costs[p[0]]; }};
}

BestResponseResult Play(const FiniteGame& game, const std::vector<int>& start,
                        const BestResponseOptions& options = {}) {
  const auto result = RunBestResponse(game, start, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(BestResponseResult());
}

bool AtRest(const FiniteGame& game, const std::vector<int>& profile, double least_gain = 0) {
  const auto result = IsEquilibrium(game, profile, least_gain);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(false);
}

TEST(BestResponseTest, CongestionGameEndsAsThePotentialFalls) {
  // Three players on road 0 (k each with k users) or road 1 (2 k). All on road 0 pay 3, potential 1 + 2 + 3. Player 0
  // moves to road 1 for 2: potential 1 + 2 + 2. Then players 1 and 2 pay 2 and would pay 4, player 0 would pay 3.
  const Congestion roads{{{{0}, {1}}, {{0}, {1}}, {{0}, {1}}}, {{1, 2, 3}, {2, 4, 6}}};
  const FiniteGame game = roads.Game();
  const BestResponseResult result = Play(game, {0, 0, 0});
  EXPECT_TRUE(result.ended);
  EXPECT_EQ(result.rounds, 2);
  EXPECT_EQ(result.moves, 1);
  EXPECT_THAT(result.profile, ElementsAre(1, 0, 0));
  EXPECT_THAT(result.potential, ElementsAre(6, 5));
  EXPECT_TRUE(AtRest(game, {1, 0, 0}));
  EXPECT_TRUE(AtRest(game, {0, 0, 1}));
  EXPECT_FALSE(AtRest(game, {0, 0, 0}));
  EXPECT_FALSE(AtRest(game, {1, 1, 0}));
}

TEST(BestResponseTest, RandomCongestionGamesEndAtAnEquilibrium) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int trial = 0; trial < 50; ++trial) {
    Congestion roads;
    for (int i = 0; i < 6; ++i) {
      roads.strategies.emplace_back();
      for (int s = 0; s < 4; ++s) {
        const int a = static_cast<int>(random() % 5);
        roads.strategies.back().push_back({a, (a + 1 + static_cast<int>(random() % 4)) % 5});
      }
    }
    for (int r = 0; r < 5; ++r) {
      roads.costs.emplace_back();
      for (int k = 0; k < 6; ++k) roads.costs.back().push_back(uniform(random));  // need not rise with the users
    }
    const FiniteGame game = roads.Game();
    const BestResponseResult result = Play(game, std::vector<int>(6, 0));
    EXPECT_TRUE(result.ended);
    EXPECT_TRUE(AtRest(game, result.profile));
    ASSERT_EQ(result.potential.size(), static_cast<size_t>(result.moves) + 1);
    for (size_t i = 1; i < result.potential.size(); ++i) EXPECT_LT(result.potential[i], result.potential[i - 1]);
    EXPECT_THAT(result.potential.back(), DoubleEq(game.potential(result.profile)));
  }
}

TEST(BestResponseTest, BraessParadox) {
  // Four drivers from S to T. S-A and B-T take 10 minutes for each car on them, A-T and S-B always 45. Two on each way
  // pay 20 + 45 = 65, and whoever changes would pay 75. A road A-B of 0 minutes gives a third way S-A-B-T: all end on
  // it and pay 40 + 0 + 40 = 80, since each of the old ways would be 40 + 45 = 85.
  const std::vector<double> queue = {10, 20, 30, 40}, wide(4, 45), none(4, 0);
  const std::vector<std::vector<int>> old_ways = {{0, 1}, {2, 3}}, ways = {{0, 1}, {2, 3}, {0, 4, 3}};
  const std::vector<std::vector<double>> costs = {queue, wide, wide, queue, none};  // S-A, A-T, S-B, B-T, A-B
  const Congestion before{{4, old_ways}, costs}, after{{4, ways}, costs};

  const BestResponseResult without = Play(before.Game(), {0, 0, 0, 0});
  EXPECT_TRUE(without.ended);
  EXPECT_THAT(before.Load(without.profile), ElementsAre(2, 2, 2, 2, 0));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(before.Game().cost(without.profile, i), 65);

  const BestResponseResult with = Play(after.Game(), without.profile);
  EXPECT_TRUE(with.ended);
  EXPECT_THAT(with.profile, ElementsAre(2, 2, 2, 2));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(after.Game().cost(with.profile, i), 80);
  EXPECT_FALSE(AtRest(after.Game(), without.profile));
}

TEST(BestResponseTest, AnEquilibriumNeedNotBeThePotentialsMinimum) {
  // Strategy 0 costs 1, being different from the other costs both 2. At (0, 0) each pays 1 and would pay 2 alone:
  // nobody moves, at potential 1 + 1. At (1, 1) it is 0. From (0, 1), at 1 + 2, player 0 moves first: it saves 3.
  const FiniteGame game{
      .strategies = {2, 2},
      .cost = [](absl::Span<const int> p, int i) { return 1.0 - p[i] + (p[0] != p[1] ? 2 : 0); },
      .potential = [](absl::Span<const int> p) { return 2.0 - p[0] - p[1] + (p[0] != p[1] ? 2 : 0); }};
  EXPECT_THAT(Play(game, {0, 0}).potential, ElementsAre(2));
  EXPECT_THAT(Play(game, {1, 1}).potential, ElementsAre(0));
  EXPECT_THAT(Play(game, {0, 1}).potential, ElementsAre(3, 0));
  EXPECT_THAT(Play(game, {0, 1}).profile, ElementsAre(1, 1));
}

TEST(BestResponseTest, SaysWhenItDidNotEnd) {
  // From (0, 0): round 1 moves player 1 alone, to (0, 1); every round after it moves both: (1, 0), then (0, 1) again.
  const BestResponseResult result = Play(MatchingPennies(), {0, 0}, {.max_rounds = 10});
  EXPECT_FALSE(result.ended);
  EXPECT_EQ(result.rounds, 10);
  EXPECT_EQ(result.moves, 19);
  EXPECT_THAT(result.potential, IsEmpty());
  for (const auto& profile : {std::vector{0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
    EXPECT_FALSE(AtRest(MatchingPennies(), profile));
  }
}

TEST(BestResponseTest, TheLastRoundOfTheLimitMayBeTheQuietOne) {
  EXPECT_TRUE(Play(Alone({1, 0}), {1}, {.max_rounds = 1}).ended);
  EXPECT_FALSE(Play(Alone({1, 0}), {0}, {.max_rounds = 1}).ended);
  EXPECT_TRUE(Play(Alone({1, 0}), {0}, {.max_rounds = 2}).ended);
}

TEST(BestResponseTest, TiesKeepTheCurrentStrategy) {
  for (int start = 0; start < 3; ++start) {
    const BestResponseResult result = Play(Alone({2, 2, 2}), {start});
    EXPECT_EQ(result.moves, 0);
    EXPECT_THAT(result.profile, ElementsAre(start));
  }
}

TEST(BestResponseTest, TakesTheBestAndOfEqualOnesTheFirst) {
  EXPECT_THAT(Play(Alone({5, 3, 1, 1}), {0}).profile, ElementsAre(2));
  EXPECT_THAT(Play(Alone({1, 3, 1, 5}), {3}).profile, ElementsAre(0));
  EXPECT_EQ(Play(Alone({5, 3, 1, 1}), {0}).moves, 1);  // straight there
}

TEST(BestResponseTest, SmallGainsMayBeIgnored) {
  const FiniteGame game = Alone({1, 0.75, 0.5});
  EXPECT_THAT(Play(game, {0}, {.least_gain = 0.5}).profile, ElementsAre(0));  // not more than that
  EXPECT_THAT(Play(game, {0}, {.least_gain = 0.375}).profile, ElementsAre(2));
  EXPECT_TRUE(AtRest(game, {0}, 0.5));
  EXPECT_FALSE(AtRest(game, {0}, 0.375));
}

TEST(BestResponseTest, RefusesAFalsePotential) {
  const Congestion roads{{{{0}, {1}}, {{0}, {1}}, {{0}, {1}}}, {{1, 2, 3}, {2, 4, 6}}};
  FiniteGame game = roads.Game();
  game.potential = [&](absl::Span<const int> p) { return 2 * roads.Game().potential(p); };
  EXPECT_EQ(ReasonOf(RunBestResponse(game, {0, 0, 0}).status()), "GAME_NOT_POTENTIAL");
  game.potential = [](absl::Span<const int>) { return 0.0; };
  EXPECT_EQ(ReasonOf(RunBestResponse(game, {0, 0, 0}).status()), "GAME_NOT_POTENTIAL");
  // Without a move nothing can be checked.
  EXPECT_TRUE(RunBestResponse(game, {1, 0, 0}).ok());
  // Any error passes as rounding when the caller says so: 1 next to 3 is a third.
  EXPECT_TRUE(RunBestResponse(game, {0, 0, 0}, {.potential_tolerance = 0.34}).ok());
  EXPECT_FALSE(RunBestResponse(game, {0, 0, 0}, {.potential_tolerance = 0.33}).ok());
}

TEST(BestResponseTest, OneSidedCouplingsHaveNoPotential) {
  // Both pay for their own choice, and player 1 alone for being equal to player 0. The sum of costs is no potential.
  const FiniteGame game{
      .strategies = {2, 2},
      .cost = [](absl::Span<const int> p, int i) { return p[i] + (i == 1 && p[0] == p[1] ? 3.0 : 0); },
      .potential = [](absl::Span<const int> p) { return p[0] + p[1] + (p[0] == p[1] ? 3.0 : 0); }};
  EXPECT_EQ(ReasonOf(RunBestResponse(game, {1, 0}).status()), "GAME_NOT_POTENTIAL");
  // Symmetric, and counted once, it is one. From (1, 1), at potential 5, player 0 moves to 0 (gain 4): (0, 1) at 1.
  FiniteGame both = game;
  both.cost = [](absl::Span<const int> p, int i) { return p[i] + (p[0] == p[1] ? 3.0 : 0); };
  EXPECT_THAT(Play(both, {1, 1}).potential, ElementsAre(5, 1));
}

TEST(BestResponseTest, InvalidGamesAndProfiles) {
  const auto cost = [](absl::Span<const int>, int) { return 0.0; };
  EXPECT_EQ(ReasonOf(RunBestResponse({.cost = cost}, {}).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(RunBestResponse({.strategies = {2}}, {0}).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(RunBestResponse({.strategies = {1, 0}, .cost = cost}, {0, 0}).status()), "GAME_INVALID");
  const FiniteGame game{.strategies = {2, 2}, .cost = cost};
  for (const auto& bad : {std::vector<int>{}, {0}, {0, 0, 0}, {0, 2}, {-1, 0}}) {
    EXPECT_EQ(ReasonOf(RunBestResponse(game, bad).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(IsEquilibrium(game, bad).status()), "GAME_INVALID");
  }
}

TEST(BestResponseTest, InvalidNumbersAndOptions) {
  const double nan = std::nan("");
  EXPECT_EQ(ReasonOf(RunBestResponse(Alone({1, nan}), {0}).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(RunBestResponse(Alone({nan, 1}), {0}).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(IsEquilibrium(Alone({1, HUGE_VAL}), {0}).status()), "GAME_INVALID");
  FiniteGame game = Alone({1, 0});
  game.potential = [&](absl::Span<const int> p) { return p[0] == 0 ? 1 : nan; };
  EXPECT_EQ(ReasonOf(RunBestResponse(game, std::vector<int>{0}).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(RunBestResponse(game, std::vector<int>{1}).status()), "GAME_INVALID");
  for (const BestResponseOptions& bad :
       {BestResponseOptions{.max_rounds = 0}, BestResponseOptions{.least_gain = -1},
        BestResponseOptions{.least_gain = nan}, BestResponseOptions{.potential_tolerance = -1},
        BestResponseOptions{.potential_tolerance = HUGE_VAL}}) {
    EXPECT_EQ(ReasonOf(RunBestResponse(Alone({1, 0}), {0}, bad).status()), "GAME_INVALID");
  }
  EXPECT_EQ(ReasonOf(IsEquilibrium(Alone({1, 0}), {0}, -1).status()), "GAME_INVALID");
}

}  // namespace
}  // namespace nashswarm::game
