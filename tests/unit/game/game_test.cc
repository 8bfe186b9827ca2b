#include "core/game/game.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

Player MakePlayer(double weight, std::vector<Strategy> strategies) { return {"p", weight, std::move(strategies)}; }

// Random players whose strategies fall in distortion as bytes rise, not convex, of odd sizes.
std::vector<Player> RandomPlayers(int count, uint64_t seed, uint64_t unit) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<Player> players;
  for (int i = 0; i < count; ++i) {
    Player player{"p" + std::to_string(i), 0.1 + 10 * uniform(random), {}};
    uint64_t bytes = unit * (1 + random() % 20);
    double distortion = 1;
    for (int s = 0; s < 5; ++s) {
      player.strategies.push_back({bytes, distortion});
      bytes += unit * (1 + random() % 20);
      distortion *= 0.2 + 0.7 * uniform(random);
    }
    players.push_back(std::move(player));
  }
  return players;
}

double LossOf(const std::vector<Player>& players, const std::vector<int>& choice) {
  double loss = 0;
  for (size_t i = 0; i < players.size(); ++i) loss += players[i].loss_weight * players[i].strategies[choice[i]].distortion;
  return loss;
}

// Every combination.
double BruteForceLoss(const std::vector<Player>& players, uint64_t budget, size_t i = 0) {
  if (i == players.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const Strategy& s : players[i].strategies) {
    if (s.bytes > budget) continue;
    best = std::min(best, players[i].loss_weight * s.distortion + BruteForceLoss(players, budget - s.bytes, i + 1));
  }
  return best;
}

TEST(GameTest, BestResponseFollowsThePrice) {
  const Player player = MakePlayer(2, {{10, 1.0}, {20, 0.4}, {40, 0.1}});
  EXPECT_EQ(BestResponse(player, 0), 2);
  EXPECT_EQ(BestResponse(player, 0.05), 1);  // 2.5, 1.8, 2.2
  EXPECT_EQ(BestResponse(player, 1), 0);
}

TEST(GameTest, TiesTakeFewerBytes) {
  EXPECT_EQ(BestResponse(MakePlayer(1, {{40, 0.5}, {20, 0.5}}), 0), 1);
  EXPECT_EQ(BestResponse(MakePlayer(0, {{40, 0.1}, {20, 0.5}}), 0), 1);
}

TEST(GameTest, SmallGamesAreSolvedExactly) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<Player> players = RandomPlayers(6, seed, 32);
    const uint64_t smallest = SmallestBytes(players);
    for (const uint64_t extra : {0, 33, 500, 1500, 3000}) {
      const auto plan = Solve(players, smallest + extra);
      NS_ASSERT_OK(plan.status());
      EXPECT_LE(plan->bytes, smallest + extra);
      EXPECT_TRUE(plan->proved_best);
      EXPECT_NEAR(plan->loss, BruteForceLoss(players, smallest + extra), 1e-9) << seed << " " << extra;
      EXPECT_NEAR(plan->loss, LossOf(players, plan->choice), 1e-12);
    }
  }
}

TEST(GameTest, LargeGamesStayBetweenBoundAndBudget) {
  std::vector<Player> players = RandomPlayers(600, 7, 1 << 20);
  players[0].strategies[0].bytes += 1;  // no common unit: the exact search would be too large
  const uint64_t smallest = SmallestBytes(players);
  uint64_t largest = 0;
  for (const Player& player : players) largest += player.strategies.back().bytes;
  const uint64_t budget = (smallest + largest) / 2;
  const auto plan = Solve(players, budget);
  NS_ASSERT_OK(plan.status());
  EXPECT_FALSE(plan->proved_best);
  EXPECT_LE(plan->bytes, budget);
  EXPECT_GE(plan->bytes, budget * 0.999);
  EXPECT_GE(plan->duality_gap(), 0);
  EXPECT_LE(plan->duality_gap(), 0.01 * plan->loss);
}

TEST(GameTest, EquilibriumAtThePrice) {
  std::vector<Player> players = RandomPlayers(600, 3, 1 << 20);
  players[0].strategies[0].bytes += 1;
  const uint64_t smallest = SmallestBytes(players);
  const auto plan = Solve(players, smallest + smallest / 2);
  NS_ASSERT_OK(plan.status());
  ASSERT_GT(plan->price, 0);
  // All but those who took of the leftover play their best response to the price.
  int moved = 0;
  for (size_t i = 0; i < players.size(); ++i) moved += plan->choice[i] != BestResponse(players[i], plan->price);
  EXPECT_LE(moved, 10);
}

TEST(GameTest, BytesFallAsThePriceRisesOnThePath) {
  std::vector<Player> players = RandomPlayers(50, 5, 32);
  auto plan = Solve(players, SmallestBytes(players) + 20000);
  NS_ASSERT_OK(plan.status());
  std::sort(plan->path.begin(), plan->path.end(), [](auto& a, auto& b) { return a.price < b.price; });
  for (size_t i = 1; i < plan->path.size(); ++i) {
    EXPECT_LE(plan->path[i].bytes, plan->path[i - 1].bytes);
    EXPECT_GE(plan->path[i].loss, plan->path[i - 1].loss);
  }
}

TEST(GameTest, GenerousBudgetGivesEverybodyTheBest) {
  const std::vector<Player> players = {MakePlayer(1, {{10, 1}, {20, 0}, {40, 0}})};
  const auto plan = Solve(players, 1000);
  NS_ASSERT_OK(plan.status());
  EXPECT_TRUE(plan->nobody_wants_more);
  EXPECT_EQ(plan->bytes, 20u);  // the dearer format gains nothing
  EXPECT_EQ(plan->duality_gap(), 0);
}

TEST(GameTest, HeavierPlayersGetMoreBits) {
  const std::vector<Strategy> curve = {{100, 1}, {200, 0.25}, {300, 0.06}, {400, 0.015}};
  const auto plan = Solve(std::vector<Player>{MakePlayer(100, curve), MakePlayer(1, curve)}, 500);
  NS_ASSERT_OK(plan.status());
  EXPECT_EQ(plan->choice[0], 3);
  EXPECT_EQ(plan->choice[1], 0);
}

TEST(GameTest, InfeasibleAndInvalid) {
  const std::vector<Player> players = {MakePlayer(1, {{10, 1}}), MakePlayer(1, {{10, 1}})};
  EXPECT_EQ(ReasonOf(Solve(players, 19).status()), "TARGET_INFEASIBLE");
  NS_EXPECT_OK(Solve(players, 20).status());
  EXPECT_EQ(ReasonOf(Solve(std::vector<Player>{MakePlayer(1, {})}, 20).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(Solve(std::vector<Player>{MakePlayer(-1, {{1, 1}})}, 20).status()), "GAME_INVALID");
  EXPECT_EQ(ReasonOf(Solve(std::vector<Player>{MakePlayer(1, {{1, std::nan("")}})}, 20).status()), "GAME_INVALID");
  EXPECT_TRUE(Solve({}, 0).ok());
}

}  // namespace
}  // namespace nashswarm::game
