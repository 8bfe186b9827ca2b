#include "core/game/routing/routing.h"

#include <gtest/gtest.h>

#include <array>

#include "core/base/status.h"
#include "tests/unit/routing/reference.h"

namespace nashswarm::routing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<uint16_t> OwnChoice(const Batch& batch) {
  const Reference reference(batch, {});
  std::vector<uint16_t> chosen;
  for (const auto& group : reference.groups) {
    for (size_t k = 0; k < batch.top_k; ++k) chosen.push_back(static_cast<uint16_t>(group[k]));
  }
  return chosen;
}

TEST(Routing, WithoutWeightsTheModelsOwnExpertsStay) {
  for (const auto& [tokens, experts, top_k] : std::vector<std::array<size_t, 3>>{
           {1, 1, 1}, {5, 3, 3}, {100, 8, 2}, {33, 64, 8}, {40, 100, 1}, {17, 130, 40}, {3, 1024, 6}}) {
    std::vector<float> logits = RandomLogits(tokens, experts, 1);
    for (const bool ties : {false, true}) {
      for (float& x : logits) x = ties ? std::round(x) : x;
      const Batch batch{tokens, experts, top_k, logits};
      for (const Similarity similarity : {Similarity::kLogit, Similarity::kSquaredGate}) {
        const auto result = Route(batch, {.similarity = similarity});
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(result->chosen, OwnChoice(batch)) << tokens << " x " << experts << " ties " << ties;
        EXPECT_EQ(result->moves, std::vector<int64_t>{0});
        EXPECT_TRUE(result->ended && result->nash);
        EXPECT_EQ(result->max_gain, 0);
        EXPECT_TRUE(result->cohesion.empty());
      }
    }
  }
}

// Against every set that every token could have chosen.
TEST(Routing, EndsWhereNoTokenGainsByAnyOtherSet) {
  int moved = 0;
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const FullGame game(5 + 3 * seed, 8, 1 + seed % 3, seed);
    const auto result = Route(game.batch, game.options);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(result->ended && result->nash);
    const Reference reference = game.reference();
    const Sets sets = SetsOf(result->chosen, game.batch.top_k);
    for (size_t i = 0; i < sets.size(); ++i) {
      ASSERT_EQ(sets[i].size(), game.batch.top_k);
      EXPECT_LE(reference.BestUtility(sets, i) - reference.Utility(sets, i), 5e-5) << "token " << i;
    }
    moved += result->rounds > 1 ? 1 : 0;
  }
  EXPECT_GT(moved, 8);
}

TEST(Routing, EndsSoWithSquaredGatesAndCachesOfEachTokenToo) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    const FullGame game(5 + 3 * seed, 8, 1 + seed % 3, seed, seed % 2 == 0);
    const auto result = Route(game.batch, game.options);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(result->ended && result->nash);
    const Reference reference = game.reference();
    const Sets sets = SetsOf(result->chosen, game.batch.top_k);
    for (size_t i = 0; i < sets.size(); ++i) {
      EXPECT_LE(reference.BestUtility(sets, i) - reference.Utility(sets, i), 5e-5) << "token " << i;
    }
  }
}

TEST(Routing, StoppedEarlyItSaysThatItIsNoEquilibrium) {
  FullGame game(200, 16, 2, 3);
  game.options.max_rounds = 1;
  const auto result = Route(game.batch, game.options);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->ended);
  EXPECT_FALSE(result->nash);
  const Reference reference = game.reference();
  const Sets sets = SetsOf(result->chosen, 2);
  double greatest = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    greatest = std::max(greatest, reference.BestUtility(sets, i) - reference.Utility(sets, i));
  }
  EXPECT_NEAR(result->max_gain, greatest, 1e-5);
  EXPECT_EQ(result->rounds, 1);
}

TEST(Routing, ThePotentialRisesWithEveryRoundAndIsThatOfTheChoice) {
  for (const int rounds : {1, 2, 3, 50}) {
    FullGame game(150, 16, 3, 4);
    game.options.max_rounds = rounds;
    const auto result = Route(game.batch, game.options);
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->potential.size(), static_cast<size_t>(result->rounds) + 1);
    ASSERT_EQ(result->cohesion.size(), result->potential.size());
    for (size_t r = 0; r < result->moves.size(); ++r) {
      if (result->moves[r] > 0) {
        EXPECT_GT(result->potential[r + 1], result->potential[r]) << "round " << r;
      } else {
        EXPECT_EQ(result->potential[r + 1], result->potential[r]);
      }
    }
    const Reference reference = game.reference();
    const Sets sets = SetsOf(result->chosen, 3);
    EXPECT_NEAR(result->potential[0], reference.Potential(SetsOf(OwnChoice(game.batch), 3)), 1e-3);
    EXPECT_NEAR(result->potential.back(), reference.Potential(sets), 1e-3);
    double cosines = 0;
    for (size_t i = 0; i < sets.size(); ++i) {
      for (const size_t j : sets[i]) cosines += reference.Cosine(i, j) / 450;
    }
    EXPECT_NEAR(result->cohesion.back(), cosines, 1e-5);
    if (rounds == 50) {
      EXPECT_EQ(result->moves.back(), 0);
    }
  }
}

TEST(Routing, ADearerLoadSpreadsTheTokens) {
  const std::vector<float> logits = RandomLogits(1024, 32, 5);
  const Batch batch{1024, 32, 4, logits};
  double before = kInfinity;
  for (const double alpha : {0.0, 0.2, 0.5, 1.0, 3.0, 10.0}) {
    const auto result = Route(batch, {.weights = {.alpha = alpha}, .group = 32, .max_rounds = 500});
    ASSERT_TRUE(result.ok());
    EXPECT_TRUE(result->nash);
    EXPECT_LT(result->load_variation, 0.99 * before) << "alpha " << alpha;
    before = result->load_variation;
  }
  EXPECT_LT(before, 0.25);
}

TEST(Routing, SeparationThinsOnlyWhatIsAboveTheThreshold) {
  const std::vector<float> logits = RandomLogits(1024, 32, 6);
  const Batch batch{1024, 32, 4, logits};
  const auto greatest = [&](const Weights& weights) {
    const auto result = Route(batch, {.weights = weights, .group = 32, .max_rounds = 500});
    return *std::max_element(result->loads.begin(), result->loads.end()) / 128.0;
  };
  const double own = greatest({});
  EXPECT_GT(own, 2);
  EXPECT_EQ(greatest({.separation = 2, .threshold = own}), own);
  EXPECT_LT(greatest({.separation = 20, .threshold = 1.5}), 1.8);
}

TEST(Routing, ABonusForCachedExpertsDrawsTokensToThem) {
  const std::vector<float> logits = RandomLogits(512, 32, 7);
  std::vector<uint8_t> cached(32);
  for (size_t j = 0; j < 32; j += 4) cached[j] = 255;
  double before = -1;
  for (const double bonus : {0.0, 0.5, 2.0}) {
    const auto result = Route({512, 32, 4, logits, nullptr, cached}, {.weights = {.alpha = 0.2, .cache_bonus = bonus}});
    double share = 0;
    for (const uint16_t j : result->chosen) share += cached[j] ? 1.0 / 2048 : 0;
    EXPECT_GT(share, before + 0.05) << "bonus " << bonus;
    before = share;
  }
}

TEST(Routing, AlignedTokensChooseWhatTheirNeighboursDo) {
  const std::vector<float> logits = RandomLogits(256, 32, 8);
  const Batch batch{256, 32, 4, logits};
  const Reference reference(batch, {});
  double before = -1;
  for (const double alignment : {0.0, 0.5, 2.0}) {
    const auto result = Route(batch, {.weights = {.alpha = 0.5, .alignment = alignment}, .max_rounds = 500});
    EXPECT_TRUE(result->nash);
    const Sets sets = SetsOf(result->chosen, 4);
    double common = 0;
    for (size_t i = 0; i < 256; ++i) {
      for (const size_t other : reference.neighbours[i]) {
        for (const size_t j : sets[i]) common += sets[other].count(j) ? 1 : 0;
      }
    }
    EXPECT_GT(common, before + 50) << "alignment " << alignment;
    before = common;
  }
}

TEST(Routing, CohesionDrawsTokensToTheirGroupsCentre) {
  FullGame game(256, 24, 4, 9);
  double before = -2;
  for (const double cohesion : {0.0, 1.0, 4.0}) {
    game.options.weights = {.alpha = 0.2, .cohesion = cohesion};
    const auto result = Route(game.batch, game.options);
    EXPECT_GT(result->cohesion.back(), before + 0.001) << "cohesion " << cohesion;
    before = result->cohesion.back();
  }
}

// Five blocks of 16 tokens, two experts. The first two blocks make the forecast take expert 0 for the fuller one, so that
// the one token that gains by going there does not go in the first round.
TEST(Routing, AFirstRoundWithoutMovesIsNotTheEnd) {
  std::vector<float> logits;
  for (size_t i = 0; i < 80; ++i) {
    const bool first = i < 32;
    logits.push_back(first ? 100.0f : 0.0f);
    logits.push_back(first ? 0.0f : i == 40 ? 0.01f : 100.0f);
  }
  const auto result = Route({80, 2, 1, logits}, {.weights = {.alpha = 1}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->moves, (std::vector<int64_t>{0, 1, 0}));
  EXPECT_EQ(result->chosen[40], 0);
  EXPECT_TRUE(result->nash);
}

// On one core a batch must not take long: the first round's forecast is for that.
TEST(Routing, EndsInFewRounds) {
  int rounds = 0;
  for (unsigned seed = 1; seed <= 5; ++seed) {
    const std::vector<float> logits = RandomLogits(2048, 64, seed);
    const auto result = Route({2048, 64, 8, logits}, {.weights = {.alpha = 1, .separation = 0.5}});
    EXPECT_TRUE(result->nash);
    rounds += result->rounds;
  }
  EXPECT_LT(rounds, 50);
}

TEST(Routing, ChosenExpertsComeByFallingSimilarity) {
  const FullGame game(100, 16, 4, 10);
  const auto result = Route(game.batch, game.options);
  for (size_t i = 0; i < 100; ++i) {
    for (size_t k = 1; k < 4; ++k) {
      const uint16_t before = result->chosen[i * 4 + k - 1], after = result->chosen[i * 4 + k];
      EXPECT_GT(game.logits[i * 16 + before], game.logits[i * 16 + after]);
    }
  }
}

TEST(Routing, TheSameBatchIsRoutedAlike) {
  const FullGame game(300, 24, 4, 11);
  const auto first = Route(game.batch, game.options), second = Route(game.batch, game.options);
  EXPECT_EQ(first->chosen, second->chosen);
  EXPECT_EQ(first->moves, second->moves);
  EXPECT_EQ(first->loads, second->loads);
  EXPECT_EQ(first->potential, second->potential);
  EXPECT_EQ(first->cohesion, second->cohesion);
}

TEST(Routing, RefusesShapesThatDoNotFit) {
  const std::vector<float> logits(12, 0.0f);
  const std::vector<uint8_t> bytes(3);
  const Centres centres = *Centres::Make(std::vector<float>(6, 1.0f), 3, 2);
  const auto reason = [](const Batch& batch, const Weights& weights = {}) {
    const auto result = Route(batch, {.weights = weights});
    EXPECT_TRUE(result.ok() || absl::IsInvalidArgument(result.status()));
    return ReasonOf(result.status());
  };
  EXPECT_EQ(reason({3, 4, 2, logits}), "");
  EXPECT_EQ(reason({4, 4, 2, logits}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({0, 4, 2, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 0, 0, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 4, 0, logits}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 4, 5, logits}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({size_t{1} << 62, 4, 1, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({1, 1025, 1, std::vector<float>(1025)}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 4, 2, logits, nullptr, bytes}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 4, 2, logits, nullptr, std::vector<uint8_t>(4)}), "");
  EXPECT_EQ(reason({3, 4, 2, logits, nullptr, std::vector<uint8_t>(12)}), "");
  EXPECT_EQ(reason({3, 4, 2, logits, &centres}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({3, 4, 2, logits}, {.cohesion = 1}), "ROUTING_SHAPE");
  EXPECT_EQ(ReasonOf(Centres::Make(logits, 4, 4).status()), "ROUTING_SHAPE");
  EXPECT_EQ(ReasonOf(Centres::Make({}, 0, 4).status()), "ROUTING_SHAPE");
}

TEST(Routing, RefusesNumbersThatAreNone) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    for (const size_t at : {0, 17, 38}) {
      std::vector<float> logits = RandomLogits(3, 13, 1);
      logits[at] = bad;
      const auto result = Route({3, 13, 2, logits}, {});
      EXPECT_TRUE(absl::IsInvalidArgument(result.status()));
      EXPECT_EQ(ReasonOf(result.status()), "NON_FINITE_LOGITS");
      EXPECT_EQ(ReasonOf(Centres::Make(logits, 3, 13).status()), "NON_FINITE_CENTRES");
    }
  }
}

TEST(Routing, RefusesOptionsOutOfRange) {
  const std::vector<float> logits(12, 0.0f);
  const auto reason = [&](const Options& options) { return ReasonOf(Route({3, 4, 2, logits}, options).status()); };
  for (const double bad : {-0.1, 2e6, static_cast<double>(kNan)}) {
    EXPECT_EQ(reason({.weights = {.alpha = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.weights = {.separation = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.weights = {.threshold = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.weights = {.alignment = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.weights = {.cohesion = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.weights = {.cache_bonus = bad}}), "ROUTING_OPTIONS");
    EXPECT_EQ(reason({.least_gain = bad}), "ROUTING_OPTIONS");
  }
  EXPECT_EQ(reason({.max_rounds = 0}), "ROUTING_OPTIONS");
  EXPECT_EQ(reason({.least_gain = 0}), "ROUTING_OPTIONS");
}

// Products of such logits overflow: no neighbours come of them, and no choice outside of the experts.
TEST(Routing, LogitsAtTheEndOfTheirRangeAreRouted) {
  std::vector<float> logits = RandomLogits(40, 8, 12);
  for (float& x : logits) x *= 3e37f;
  const auto result = Route({40, 8, 2, logits}, {.weights = {.alpha = 1, .alignment = 1}});
  ASSERT_TRUE(result.ok()) << result.status();
  for (const uint16_t j : result->chosen) EXPECT_LT(j, 8);
}

}  // namespace
}  // namespace nashswarm::routing
