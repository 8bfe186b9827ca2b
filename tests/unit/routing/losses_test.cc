#include "core/game/routing/losses.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/unit/routing/reference.h"

namespace nashswarm::routing {
namespace {

TEST(RoutingLosses, OneExpertForAllIsAsUnbalancedAsCanBe) {
  // Two tokens, each all but sure of expert 0.
  const std::vector<float> logits = {40, 0, 0, 0, 40, 0, 0, 0};
  const auto terms = ComputeLossTerms({2, 4, 1, logits}, {.weights = {.threshold = 1.5}});
  ASSERT_TRUE(terms.ok());
  EXPECT_NEAR(terms->balance, 4, 1e-9);
  EXPECT_NEAR(terms->separation, 4 - 1.5, 1e-9);
  EXPECT_EQ(terms->alignment, 1);
  EXPECT_EQ(terms->cached, 0);
  EXPECT_EQ(terms->cohesion, 0);
}

TEST(RoutingLosses, AnEqualSpreadIsBalanced) {
  std::vector<float> logits(16, 0.0f);
  for (size_t i = 0; i < 4; ++i) logits[i * 4 + i] = 3;
  const std::vector<uint8_t> cached = {1, 0, 0, 7};
  const auto terms = ComputeLossTerms({4, 4, 1, logits, nullptr, cached}, {});
  EXPECT_NEAR(terms->balance, 1, 1e-9);
  EXPECT_EQ(terms->separation, 0);
  EXPECT_EQ(terms->alignment, 0);
  EXPECT_EQ(terms->cached, 0.5);
  EXPECT_EQ(terms->nash, 0);
}

TEST(RoutingLosses, EveryTermIsThatOfItsFormula) {
  const FullGame game(45, 10, 3, 2);
  const Reference reference = game.reference();
  Sets sets;
  for (const auto& group : reference.groups) sets.emplace_back(group.begin(), group.begin() + 3);
  std::vector<double> probability(10);
  double nash = 0, cohesion = 0, common = 0, pairs = 0;
  for (size_t i = 0; i < 45; ++i) {
    double sum = 0;
    for (size_t j = 0; j < 10; ++j) sum += std::exp(reference.Logit(i, j));
    for (size_t j = 0; j < 10; ++j) probability[j] += std::exp(reference.Logit(i, j)) / sum / 45;
    nash += (reference.BestUtility(sets, i) - reference.Utility(sets, i)) / 45;
    for (const size_t j : sets[i]) cohesion += reference.Cosine(i, j) / 135;
    for (const size_t other : reference.neighbours[i]) {
      pairs += 0.5;
      for (const size_t j : sets[i]) common += sets[other].count(j) ? 0.5 : 0;
    }
  }
  double balance = 0, cached = 0, separation = 0;
  const std::vector<size_t> loads = reference.Loads(sets);
  for (size_t j = 0; j < 10; ++j) {
    const double share = static_cast<double>(loads[j]) / 135;
    balance += 10 * share * probability[j];
    cached += game.cached[j] ? share : 0;
    separation += std::max(0.0, 10 * share - 1.1);
  }
  const auto terms = ComputeLossTerms(game.batch, game.options);
  ASSERT_TRUE(terms.ok());
  EXPECT_NEAR(terms->balance, balance, 1e-9);
  EXPECT_NEAR(terms->cached, cached, 1e-12);
  EXPECT_NEAR(terms->separation, separation, 1e-9);
  EXPECT_NEAR(terms->alignment, common / (3 * pairs), 1e-9);
  EXPECT_NEAR(terms->cohesion, cohesion, 1e-5);
  EXPECT_NEAR(terms->nash, nash, 1e-5);
  EXPECT_GT(terms->nash, 0.01);
  // At the equilibrium itself there is nothing to regret.
  const auto routed = Route(game.batch, game.options);
  const auto at_rest = ComputeLossTerms(game.batch, game.options, routed->chosen);
  ASSERT_TRUE(at_rest.ok());
  EXPECT_LT(at_rest->nash, 3e-5);
  EXPECT_LT(at_rest->separation, terms->separation);
}

TEST(RoutingLosses, WhatIsCachedCountsForEachToken) {
  const std::vector<float> logits = {1, 0, 0, 1};  // token 0 chooses expert 0, token 1 expert 1
  const std::vector<uint8_t> cached = {1, 1, 1, 0};
  EXPECT_EQ(ComputeLossTerms({2, 2, 1, logits, nullptr, cached}, {})->cached, 0.5);
}

TEST(RoutingLosses, AlignmentIsMeasuredWhateverItsWeight) {
  FullGame game(45, 10, 3, 2);
  const double weighted = ComputeLossTerms(game.batch, game.options)->alignment;
  game.options.weights.alignment = 0;
  EXPECT_EQ(ComputeLossTerms(game.batch, game.options)->alignment, weighted);
}

TEST(RoutingLosses, TheTotalAddsWhatIsUnwantedAndTakesOffWhatIsWanted) {
  const LossTerms terms{.balance = 1, .cached = 2, .separation = 3, .alignment = 4, .cohesion = 5, .nash = 6};
  EXPECT_EQ(LossLambdas{}.Total(7, terms), 7);
  const LossLambdas lambdas{
      .balance = 1, .cached = 10, .separation = 100, .alignment = 1000, .cohesion = 1e4, .nash = 1e5};
  EXPECT_EQ(lambdas.Total(7, terms), 7 + 1 - 20 + 300 - 4000 - 5e4 + 6e5);
}

TEST(RoutingLosses, RefusesWhatRouteRefuses) {
  const std::vector<float> logits(12, 0.0f);
  EXPECT_EQ(ReasonOf(ComputeLossTerms({4, 4, 1, logits}, {}).status()), "ROUTING_SHAPE");
  EXPECT_EQ(ReasonOf(ComputeLossTerms({3, 4, 1, logits}, {}, std::vector<uint16_t>(2)).status()), "ROUTING_SHAPE");
}

}  // namespace
}  // namespace nashswarm::routing
