// The game itself, against its definition in reference.h.
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/game/routing/game.h"
#include "core/game/routing/neighbours.h"
#include "core/game/routing/profile.h"
#include "tests/unit/routing/reference.h"

namespace nashswarm::routing {
namespace {

TEST(RoutingGame, NeighboursAreTheNearestOfTheBlockBothWays) {
  const size_t tokens = 300, experts = 12;  // two whole blocks of 128 and a part
  const std::vector<float> logits = RandomLogits(tokens, experts, 3);
  const Neighbours found = FindNeighbours(logits, tokens, experts);
  const Reference reference({tokens, experts, 2, logits}, {});
  ASSERT_EQ(found.start.size(), tokens + 1);
  for (size_t i = 0; i < tokens; ++i) {
    const std::vector<size_t> of(found.of.begin() + found.start[i], found.of.begin() + found.start[i + 1]);
    EXPECT_EQ(of, reference.neighbours[i]) << "token " << i;
    EXPECT_GE(of.size(), 7u);
  }
}

TEST(RoutingGame, FewTokensHaveFewNeighbours) {
  const std::vector<float> logits = RandomLogits(129, 4, 3);  // the last token is alone in its block
  const Neighbours found = FindNeighbours(logits, 129, 4);
  EXPECT_EQ(found.start[129], found.start[128]);
  const Neighbours three = FindNeighbours(absl::MakeSpan(logits).subspan(0, 12), 3, 4);
  EXPECT_EQ(three.of, (std::vector<uint32_t>{1, 2, 0, 2, 0, 1}));
}

TEST(RoutingGame, PotentialAndGainsAreThoseOfTheDefinition) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    const FullGame game(37, 9, 2, seed);
    const Reference reference = game.reference();
    std::mt19937 random(seed);
    const Sets sets = reference.RandomSets(random);
    const auto evaluation = Evaluate(game.batch, game.options, ChosenOf(sets));
    ASSERT_TRUE(evaluation.ok()) << evaluation.status();
    EXPECT_NEAR(evaluation->potential, reference.Potential(sets), 1e-4);
    double greatest = 0, mean = 0, cosines = 0;
    for (size_t i = 0; i < sets.size(); ++i) {
      const double gain = reference.BestUtility(sets, i) - reference.Utility(sets, i);
      greatest = std::max(greatest, gain);
      mean += gain / 37;
      for (const size_t j : sets[i]) cosines += reference.Cosine(i, j) / 74;
    }
    EXPECT_NEAR(evaluation->max_gain, greatest, 1e-5);
    EXPECT_NEAR(evaluation->mean_gain, mean, 1e-5);
    EXPECT_NEAR(evaluation->cohesion, cosines, 1e-5);
    const std::vector<size_t> loads = reference.Loads(sets);
    EXPECT_EQ(std::vector<size_t>(evaluation->loads.begin(), evaluation->loads.end()), loads);
  }
}

TEST(RoutingGame, SquaredGatesAndCachesOfEachTokenAreWorthWhatTheDefinitionSays) {
  for (const bool normalized : {false, true}) {
    const FullGame game(37, 9, 2, 3, normalized);
    const Reference reference = game.reference();
    std::mt19937 random(4);
    const Sets sets = reference.RandomSets(random);
    const auto evaluation = Evaluate(game.batch, game.options, ChosenOf(sets));
    ASSERT_TRUE(evaluation.ok()) << evaluation.status();
    EXPECT_NEAR(evaluation->potential, reference.Potential(sets), 1e-5);
    double greatest = 0;
    for (size_t i = 0; i < sets.size(); ++i) {
      greatest = std::max(greatest, reference.BestUtility(sets, i) - reference.Utility(sets, i));
    }
    EXPECT_NEAR(evaluation->max_gain, greatest, 1e-6);
    EXPECT_GT(greatest, 0.05);
  }
}

// What makes it an exact potential game, for a token that takes any other set from any state.
TEST(RoutingGame, AMoversGainIsTheChangeOfThePotential) {
  const FullGame game(40, 10, 3, 5);
  const Reference reference = game.reference();
  std::mt19937 random(9);
  for (int trial = 0; trial < 40; ++trial) {
    Sets sets = reference.RandomSets(random);
    const size_t mover = random() % sets.size();
    const double utility = reference.Utility(sets, mover);
    const double potential = Evaluate(game.batch, game.options, ChosenOf(sets))->potential;
    sets[mover] = reference.RandomSets(random)[mover];
    const double gain = reference.Utility(sets, mover) - utility;
    const double change = Evaluate(game.batch, game.options, ChosenOf(sets))->potential - potential;
    EXPECT_NEAR(change, gain, 1e-5);
  }
}

TEST(RoutingGame, AMoveIsTheBestResponseAndRaisesThePotentialByItsGain) {
  const FullGame full(40, 10, 3, 6);
  const Reference reference = full.reference();
  const auto game = Game::Make(full.batch, full.options);
  ASSERT_TRUE(game.ok());
  std::mt19937 random(10);
  int moved = 0;
  for (int trial = 0; trial < 10; ++trial) {
    Profile profile(*game);
    ASSERT_TRUE(profile.Choose(ChosenOf(reference.RandomSets(random))).ok());
    for (size_t i = 0; i < 40; ++i) {
      const Sets before = SetsOf(profile.Chosen(), 3);
      const double potential = profile.Potential();
      const double best = reference.BestUtility(before, i) - reference.Utility(before, i);
      const double gain = profile.Move(i);
      EXPECT_NEAR(gain, best, 1e-4);
      EXPECT_NEAR(profile.Potential() - potential, gain, 1e-9);
      moved += gain > 0 ? 1 : 0;
    }
  }
  EXPECT_GT(moved, 100);
}

TEST(RoutingGame, ComparingBlocksMissesNoTokenThatGains) {
  const FullGame full(75, 20, 4, 7);
  const auto game = Game::Make(full.batch, full.options);
  ASSERT_TRUE(game.ok());
  std::mt19937 random(11);
  Profile profile(*game);
  ASSERT_TRUE(profile.Choose(ChosenOf(full.reference().RandomSets(random))).ok());
  for (int round = 0; round < 4; ++round) {
    for (size_t block = 0; block < game->blocks(); ++block) {
      const uint32_t bits = profile.Differing(block, profile.prices());
      EXPECT_EQ(bits >> game->BlockTokens(block), 0u) << "lanes past the last token";
      for (size_t lane = 0; lane < game->BlockTokens(block); ++lane) {
        Profile copy = profile;
        const bool gains = copy.Move(block * kLanes + lane) > 0;
        EXPECT_EQ((bits >> lane & 1) != 0, gains) << "block " << block << " lane " << lane;
      }
      for (size_t lane = 0; lane < game->BlockTokens(block); ++lane) profile.Move(block * kLanes + lane);
    }
  }
}

// Moves at other prices may be no best responses, but never lower the potential.
TEST(RoutingGame, MovesTowardOtherPricesGainToo) {
  const FullGame full(60, 12, 3, 8);
  const auto game = Game::Make(full.batch, full.options);
  ASSERT_TRUE(game.ok());
  Profile profile(*game);
  Prices prices(12);
  std::mt19937 random(12);
  for (size_t i = 0; i < 60; ++i) {
    for (size_t e = 0; e < 12; ++e) {
      const double price = static_cast<double>(random() % 1000) / 250;
      prices.Set(e, price, price);
    }
    const double potential = profile.Potential();
    const double gain = profile.MoveToward(i, prices);
    EXPECT_GE(gain, 0);
    EXPECT_NEAR(profile.Potential() - potential, gain, 1e-9);
  }
}

TEST(RoutingGame, AChoiceOutsideOfTheGroupOrTwiceIsRefused) {
  const std::vector<float> logits = {5, 4, 3, 2, 1, 0, -1, -2, -3};  // the group is the first 7
  const Batch batch{1, 9, 2, logits};
  const auto reason = [&](std::vector<uint16_t> chosen) { return ReasonOf(Evaluate(batch, {}, chosen).status()); };
  EXPECT_EQ(reason({6, 0}), "");
  EXPECT_EQ(reason({0, 0}), "ROUTING_CHOICE");
  EXPECT_EQ(reason({0, 7}), "ROUTING_CHOICE");
  EXPECT_EQ(reason({0, 65535}), "ROUTING_CHOICE");
  EXPECT_EQ(reason({0}), "ROUTING_SHAPE");
}

TEST(RoutingGame, CentresWithoutLengthHaveCosineZero) {
  std::vector<float> rows(7 * 2, 0.0f), logits(7, 0.0f);
  const Centres none = *Centres::Make(rows, 7, 2);
  EXPECT_EQ(Evaluate({1, 7, 1, logits, &none}, {}, {0})->cohesion, 0);
  rows = {1, 0, -1, 0, 1e19f, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // one so great that its square overflows a float
  const Centres great = *Centres::Make(rows, 7, 2);
  EXPECT_EQ(Evaluate({1, 7, 1, logits, &great}, {}, {2})->cohesion, 1);
  EXPECT_EQ(Evaluate({1, 7, 1, logits, &great}, {}, {3})->cohesion, 0);
}

}  // namespace
}  // namespace nashswarm::routing
