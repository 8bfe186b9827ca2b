#include "core/game/bimatrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Cooperate, defect.
Bimatrix PrisonersDilemma() { return {2, 2, {3, 0, 5, 1}, {3, 5, 0, 1}}; }
// Player 1 wants equal sides, player 2 different ones. At x = 1/2 + a, y = 1/2 + b the rows are worth 2b and -2b, the
// mix 4ab, so player 1 can gain 2|b| - 4ab; player 2 likewise 2|a| + 4ab. The exploitability is 2|a| + 2|b|.
Bimatrix MatchingPennies() { return {2, 2, {1, -1, -1, 1}, {-1, 1, 1, -1}}; }
// Stag, hare.
Bimatrix StagHunt() { return {2, 2, {4, 0, 3, 3}, {4, 3, 0, 3}}; }
Bimatrix BattleOfTheSexes() { return {2, 2, {2, 0, 0, 1}, {1, 0, 0, 2}}; }
Bimatrix RockPaperScissors() { return {3, 3, {0, -1, 1, 1, 0, -1, -1, 1, 0}, {0, 1, -1, -1, 0, 1, 1, -1, 0}}; }

double ExploitabilityAt(const Bimatrix& game, const MixedProfile& profile) {
  const auto value = Exploitability(game, profile);
  EXPECT_TRUE(value.ok()) << value.status();
  return value.value_or(-1);
}

std::vector<PureProfile> Pure(const Bimatrix& game) {
  const auto found = PureEquilibria(game);
  EXPECT_TRUE(found.ok()) << found.status();
  return found.value_or(std::vector<PureProfile>());
}

TEST(PureEquilibriaTest, TextbookGames) {
  EXPECT_THAT(Pure(PrisonersDilemma()), ElementsAre(PureProfile{1, 1}));  // defecting is always better
  EXPECT_THAT(Pure(MatchingPennies()), IsEmpty());                        // the loser always wants to move
  EXPECT_THAT(Pure(StagHunt()), ElementsAre(PureProfile{0, 0}, PureProfile{1, 1}));
  EXPECT_THAT(Pure(BattleOfTheSexes()), ElementsAre(PureProfile{0, 0}, PureProfile{1, 1}));
  EXPECT_THAT(Pure(RockPaperScissors()), IsEmpty());
}

TEST(PureEquilibriaTest, MoreColumnsThanRows) {
  // Player 1's best: row 1 in column 0, row 0 in columns 1 and 2. Player 2's best: column 2 in both rows.
  EXPECT_THAT(Pure({2, 3, {1, 2, 3, 4, 0, 1}, {2, 1, 5, 0, 1, 3}}), ElementsAre(PureProfile{0, 2}));
}

TEST(PureEquilibriaTest, MoreRowsThanColumns) {
  // The same game with the players exchanged.
  EXPECT_THAT(Pure({3, 2, {2, 0, 1, 1, 5, 3}, {1, 4, 2, 0, 3, 1}}), ElementsAre(PureProfile{2, 0}));
}

TEST(PureEquilibriaTest, TiesAreEquilibria) {
  EXPECT_THAT(Pure({2, 2, {0, 0, 0, 0}, {7, 7, 7, 7}}),
              ElementsAre(PureProfile{0, 0}, PureProfile{0, 1}, PureProfile{1, 0}, PureProfile{1, 1}));
  EXPECT_THAT(Pure({1, 1, {-3}, {2}}), ElementsAre(PureProfile{0, 0}));
}

TEST(ExploitabilityTest, ZeroAtMixedEquilibria) {
  // The other is indifferent. Stag hunt: 4 p = 3. Battle of the sexes: p = 2 (1 - p) for the row player's p, 2 q = 1 -
  // q.
  EXPECT_NEAR(ExploitabilityAt(StagHunt(), {{0.75, 0.25}, {0.75, 0.25}}), 0, 1e-15);
  EXPECT_NEAR(ExploitabilityAt(BattleOfTheSexes(), {{2.0 / 3, 1.0 / 3}, {1.0 / 3, 2.0 / 3}}), 0, 1e-15);
  EXPECT_NEAR(ExploitabilityAt(MatchingPennies(), {{0.5, 0.5}, {0.5, 0.5}}), 0, 1e-15);
  const std::vector<double> third(3, 1.0 / 3);
  EXPECT_NEAR(ExploitabilityAt(RockPaperScissors(), {third, third}), 0, 1e-15);
}

TEST(ExploitabilityTest, SumOfBothGains) {
  // Stag is worth 2, hare 3, the mix 2.5: half a point each.
  EXPECT_NEAR(ExploitabilityAt(StagHunt(), {{0.5, 0.5}, {0.5, 0.5}}), 1, 1e-15);
  // a = 1/4, b = -1/8.
  EXPECT_NEAR(ExploitabilityAt(MatchingPennies(), {{0.75, 0.25}, {0.375, 0.625}}), 0.75, 1e-15);
  // Not symmetric: row 0 against column 0 leaves player 1 a gain of 4 - 1 and player 2 one of 5 - 2.
  EXPECT_NEAR(ExploitabilityAt({2, 3, {1, 2, 3, 4, 0, 1}, {2, 1, 5, 0, 1, 3}}, {{1, 0}, {1, 0, 0}}), 6, 1e-15);
}

TEST(ExploitabilityTest, NeverNegative) {
  // Probabilities that sum to a little more than 1 make the mix seem better than its best strategy.
  EXPECT_EQ(ExploitabilityAt({2, 1, {1, 1}, {1, 1}}, {{0.5, 0.5 + 5e-10}, {1}}), 0);
}

TEST(FictitiousPlayTest, FirstRoundsOfMatchingPennies) {
  // Round 1: (0, 0). Player 1 sees 1, -1 and stays; player 2 sees -1, 1 and changes. Round 2: (0, 1). Player 1 sees 0,
  // 0 and takes the first; player 2 sees -2, 2. Round 3: (0, 1). So x = (1, 0), y = (1/3, 2/3): 2 * 1/2 + 2 * 1/6.
  const auto result = FictitiousPlay(MatchingPennies(), {.max_rounds = 3});
  NS_ASSERT_OK(result.status());
  EXPECT_EQ(result->rounds, 3);
  EXPECT_FALSE(result->met_tolerance);
  EXPECT_THAT(result->strategies.row, ElementsAre(1, 0));
  EXPECT_NEAR(result->strategies.col[0], 1.0 / 3, 1e-15);
  EXPECT_NEAR(result->exploitability, 4.0 / 3, 1e-15);
}

TEST(FictitiousPlayTest, MatchingPenniesConvergesToOneHalf) {
  const auto result = FictitiousPlay(MatchingPennies(), {.tolerance = 0.02});
  NS_ASSERT_OK(result.status());
  EXPECT_TRUE(result->met_tolerance);
  EXPECT_GT(result->rounds, 1);
  EXPECT_LE(result->exploitability, 0.02);
  EXPECT_NEAR(result->exploitability, ExploitabilityAt(MatchingPennies(), result->strategies), 1e-12);
  // 2|a| + 2|b| <= 0.02.
  EXPECT_NEAR(result->strategies.row[0], 0.5, 0.01);
  EXPECT_NEAR(result->strategies.col[0], 0.5, 0.01);
  EXPECT_NEAR(result->strategies.row[0] + result->strategies.row[1], 1, 1e-12);
}

TEST(FictitiousPlayTest, RockPaperScissorsConvergesToOneThird) {
  const auto result = FictitiousPlay(RockPaperScissors(), {.tolerance = 0.02});
  NS_ASSERT_OK(result.status());
  EXPECT_TRUE(result->met_tolerance);
  // No row is worth more than 0.02: each y is at most the next one's plus 0.02, in a circle. So any two differ by at
  // most 0.04, and each from their mean, 1/3, too.
  for (const double p : result->strategies.row) EXPECT_NEAR(p, 1.0 / 3, 0.04);
  for (const double p : result->strategies.col) EXPECT_NEAR(p, 1.0 / 3, 0.04);
}

TEST(FictitiousPlayTest, StartsAtAPureEquilibriumAndStays) {
  const auto result = FictitiousPlay(StagHunt(), {.tolerance = 0, .start = {1, 1}});
  NS_ASSERT_OK(result.status());
  EXPECT_EQ(result->rounds, 1);
  EXPECT_TRUE(result->met_tolerance);
  EXPECT_THAT(result->strategies.row, ElementsAre(0, 1));
  EXPECT_THAT(result->strategies.col, ElementsAre(0, 1));
}

TEST(FictitiousPlayTest, PrisonersDefect) {
  // From (0, 0) on both defect, so after n rounds the first is 1 / n of the mix; it costs each (1 + 1/n) / n, as
  // defecting is worth 1 + (share of cooperation) more. 2 (1 + 1/n) / n <= 0.01 from n = 201 on: 2 * 202 / 201^2 =
  // 0.0099997.
  const auto result = FictitiousPlay(PrisonersDilemma(), {.tolerance = 0.01});
  NS_ASSERT_OK(result.status());
  EXPECT_EQ(result->rounds, 201);
  EXPECT_NEAR(result->strategies.row[0], 1.0 / 201, 1e-15);
}

TEST(FictitiousPlayTest, ShapleysGameCyclesForEver) {
  // Shapley 1964: player 1 wants the same as player 2, player 2 the next one. The only equilibrium is 1/3 each, but the
  // runs of equal plays grow by a factor, so the frequencies keep going round.
  const Bimatrix game{3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 1, 0, 0, 0, 1, 1, 0, 0}};
  const auto result = FictitiousPlay(game, {.max_rounds = 50'000, .tolerance = 0.05});
  NS_ASSERT_OK(result.status());
  EXPECT_FALSE(result->met_tolerance);
  EXPECT_EQ(result->rounds, 50'000);
}

TEST(ReplicatorTest, OneStepByHand) {
  // Player 1 of the prisoner's dilemma, payoffs 0 to 5, against a uniform opponent: cooperating is worth 1.5 (0.3 of
  // the range), defecting 3 (0.6). With step 0.5 the factors are 1.15 and 1.3, so the share is 1.15 / 2.45. The game is
  // symmetric. The average of (0.5) and that is 0.5 (0.5 + 1.15 / 2.45).
  const auto result = ReplicatorDynamics(PrisonersDilemma(), {.max_steps = 1, .step_size = 0.5});
  NS_ASSERT_OK(result.status());
  EXPECT_EQ(result->steps, 1);
  for (const auto& side : {result->last.row, result->last.col}) EXPECT_NEAR(side[0], 1.15 / 2.45, 1e-15);
  for (const auto& side : {result->average.row, result->average.col}) {
    EXPECT_NEAR(side[0], (0.5 + 1.15 / 2.45) / 2, 1e-15);
    EXPECT_NEAR(side[0] + side[1], 1, 1e-15);
  }
}

TEST(ReplicatorTest, PrisonersDefect) {
  const auto result = ReplicatorDynamics(PrisonersDilemma());
  NS_ASSERT_OK(result.status());
  EXPECT_TRUE(result->met_tolerance);
  EXPECT_LT(result->steps, 10'000);
  // With a share c of cooperation each can gain c (1 + c); 2 c (1 + c) <= 1e-3 means c < 5e-4.
  EXPECT_GT(result->last.row[1], 1 - 5e-4);
  EXPECT_GT(result->last.col[1], 1 - 5e-4);
  EXPECT_NEAR(result->last_exploitability, ExploitabilityAt(PrisonersDilemma(), result->last), 1e-12);
}

TEST(ReplicatorTest, MatchingPenniesMovesAwayButItsAverageConverges) {
  // x_1 x_2 y_1 y_2 falls with every step. With k = 1 + s / 2, h = s^2 / 4, u = 4 a^2, v = 4 b^2 it is multiplied by
  // (k^2 - h u) (k^2 - h v) / (k^2 - h u v)^2, and u v is below both u and v. As (1/4 - a^2) (1/4 - b^2) is at least
  // 1/16 - (a^2 + b^2) / 4, a^2 + b^2 never falls below where it started, 0.01, and |a| + |b| stays above 0.1.
  const ReplicatorOptions options{.max_steps = 100'000, .step_size = 0.01, .start = {{0.6, 0.4}, {0.5, 0.5}}};
  const auto result = ReplicatorDynamics(MatchingPennies(), options);
  NS_ASSERT_OK(result.status());
  EXPECT_FALSE(result->met_tolerance);
  EXPECT_EQ(result->steps, 100'000);
  const auto& [row, col] = result->last;
  EXPECT_LT(row[0] * row[1] * col[0] * col[1], 0.6 * 0.4 * 0.25);
  EXPECT_GT(result->last_exploitability, 0.2);
  // The header's bound, with ranges of 2 and smallest shares of 0.4 and 0.5.
  const double bound = 4 * 0.005 + (2 * std::log(1 / 0.4) + 2 * std::log(1 / 0.5)) / (0.01 * 100'001);
  EXPECT_LE(result->average_exploitability, bound);
  EXPECT_NEAR(result->average_exploitability, ExploitabilityAt(MatchingPennies(), result->average), 1e-12);
  // 2|a| <= bound < 0.024.
  EXPECT_NEAR(result->average.row[0], 0.5, 0.012);
  EXPECT_NEAR(result->average.col[0], 0.5, 0.012);
}

TEST(ReplicatorTest, RockPaperScissorsOnAverage) {
  const ReplicatorOptions options{.max_steps = 50'000, .start = {{0.5, 0.25, 0.25}, {0.25, 0.25, 0.5}}};
  const auto result = ReplicatorDynamics(RockPaperScissors(), options);
  NS_ASSERT_OK(result.status());
  EXPECT_FALSE(result->met_tolerance);
  EXPECT_LE(result->average_exploitability, 4 * 0.005 + 4 * std::log(4) / (0.01 * 50'001));
}

TEST(ReplicatorTest, StagHuntGoesWhereTheStartLies) {
  // Stag is better exactly when the other hunts it with more than 3/4.
  for (const auto& [stag, end] : {std::pair{0.8, 0}, std::pair{0.7, 1}}) {
    const std::vector<double> start = {stag, 1 - stag};
    const auto result = ReplicatorDynamics(StagHunt(), {.start = {start, start}});
    NS_ASSERT_OK(result.status());
    EXPECT_TRUE(result->met_tolerance);
    EXPECT_GT(result->last.row[end], 0.99);
    EXPECT_GT(result->last.col[end], 0.99);
  }
}

TEST(ReplicatorTest, UnitsOfPayoffDoNotMatter) {
  Bimatrix game = PrisonersDilemma();
  for (double& payoff : game.row_payoff) payoff = 1000 * payoff - 70;
  const auto plain = ReplicatorDynamics(PrisonersDilemma(), {.max_steps = 50, .tolerance = 0});
  const auto scaled = ReplicatorDynamics(game, {.max_steps = 50, .tolerance = 0});
  NS_ASSERT_OK(plain.status());
  NS_ASSERT_OK(scaled.status());
  EXPECT_NEAR(plain->last.row[0], scaled->last.row[0], 1e-12);
  EXPECT_NEAR(plain->last.col[0], scaled->last.col[0], 1e-12);
}

TEST(ReplicatorTest, WhatIsExtinctStaysExtinct) {
  // All cooperate: at rest, and no equilibrium; each could gain 2.
  const auto result = ReplicatorDynamics(PrisonersDilemma(), {.max_steps = 100, .start = {{1, 0}, {1, 0}}});
  NS_ASSERT_OK(result.status());
  EXPECT_THAT(result->last.row, ElementsAre(1, 0));
  EXPECT_FALSE(result->met_tolerance);
  EXPECT_NEAR(result->last_exploitability, 4, 1e-15);
}

TEST(ReplicatorTest, ConstantPayoffsAndNoSteps) {
  const auto constant = ReplicatorDynamics({2, 1, {3, 3}, {0, 1}});
  NS_ASSERT_OK(constant.status());
  EXPECT_TRUE(constant->met_tolerance);
  EXPECT_EQ(constant->steps, 0);
  EXPECT_THAT(constant->average.row, ElementsAre(0.5, 0.5));
  // Player 1 does not care; player 2 goes to its better column, and player 1's shares survive.
  const auto one_sided = ReplicatorDynamics({2, 2, {3, 3, 3, 3}, {0, 1, 0, 1}});
  NS_ASSERT_OK(one_sided.status());
  EXPECT_THAT(one_sided->last.row, ElementsAre(0.5, 0.5));
  EXPECT_GT(one_sided->last.col[1], 0.99);
}

TEST(BimatrixTest, InvalidGames) {
  for (const Bimatrix& game :
       {Bimatrix{}, Bimatrix{0, 1, {}, {}}, Bimatrix{1, 0, {}, {}}, Bimatrix{-1, -1, {1}, {1}},
        Bimatrix{1, 2, {1}, {1, 2}}, Bimatrix{1, 2, {1, 2}, {1, 2, 3}}, Bimatrix{1, 1, {std::nan("")}, {1}},
        Bimatrix{1, 1, {1}, {-kInfinity}}, Bimatrix{1, 1, {1}, {1e101}}}) {
    EXPECT_EQ(ReasonOf(PureEquilibria(game).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(Exploitability(game, {{1}, {1}}).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(FictitiousPlay(game).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(ReplicatorDynamics(game).status()), "GAME_INVALID");
  }
}

TEST(BimatrixTest, InvalidStrategies) {
  const std::vector<double> half = {0.5, 0.5};
  for (const std::vector<double>& bad :
       {std::vector<double>{}, {1}, {0.5, 0.25, 0.25}, {0.5, 0.4}, {1.5, -0.5}, {std::nan(""), 0.5}, {kInfinity, 0}}) {
    EXPECT_EQ(ReasonOf(Exploitability(StagHunt(), {bad, half}).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(Exploitability(StagHunt(), {half, bad}).status()), "GAME_INVALID");
    EXPECT_EQ(ReasonOf(ReplicatorDynamics(StagHunt(), {.start = {half, bad}}).status()), "GAME_INVALID");
  }
}

TEST(BimatrixTest, NoProbabilityIsNegative) {
  const std::vector<double> third(3, 1.0 / 3);
  EXPECT_EQ(ReasonOf(Exploitability(RockPaperScissors(), {{0.75, 0.75, -0.5}, third}).status()), "GAME_INVALID");
}

TEST(BimatrixTest, InvalidOptions) {
  for (const FictitiousPlayOptions& bad :
       {FictitiousPlayOptions{.max_rounds = 0}, FictitiousPlayOptions{.tolerance = -1},
        FictitiousPlayOptions{.tolerance = std::nan("")}, FictitiousPlayOptions{.start = {2, 0}},
        FictitiousPlayOptions{.start = {0, 2}}, FictitiousPlayOptions{.start = {-1, 0}}}) {
    EXPECT_EQ(ReasonOf(FictitiousPlay(StagHunt(), bad).status()), "GAME_INVALID");
  }
  for (const ReplicatorOptions& bad :
       {ReplicatorOptions{.max_steps = -1}, ReplicatorOptions{.step_size = 0}, ReplicatorOptions{.step_size = 1.5},
        ReplicatorOptions{.step_size = std::nan("")}, ReplicatorOptions{.tolerance = kInfinity}}) {
    EXPECT_EQ(ReasonOf(ReplicatorDynamics(StagHunt(), bad).status()), "GAME_INVALID");
  }
}

}  // namespace
}  // namespace nashswarm::game
