#include "core/game/routing/balance.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/unit/routing/samples.h"

namespace nashswarm::routing {
namespace {

// Two tokens, four experts, two each; worked out by hand.
TEST(BalanceTest, TermsByHand) {
  const std::vector<float> logits = {2, 1, 0, 0, 0, 3, 1, 0};
  const std::vector<uint8_t> cached = {0, 1, 1, 0};
  const Options options{4, 2, 4, {.crowd = 0.5}, 50};
  const std::vector<uint16_t> chosen = {0, 1, 1, 2};
  const auto terms = TermsOf({logits, {}, cached}, options, chosen);
  ASSERT_TRUE(terms.ok()) << terms.status();
  const double a = std::exp(2) + std::exp(1) + 2, b = std::exp(3) + std::exp(1) + 2;
  const double p[] = {(std::exp(2) / a + 1 / b) / 2, (std::exp(1) / a + std::exp(3) / b) / 2, (1 / a + std::exp(1) / b) / 2};
  EXPECT_NEAR(terms->balance, 4 * (0.25 * p[0] + 0.5 * p[1] + 0.25 * p[2]), 1e-6);
  EXPECT_NEAR(terms->cache, 0.75, 1e-12);
  // An even share is one token; experts 0 and 2 are half of one above the crowd, expert 1 one and a half.
  EXPECT_NEAR(terms->separation, 0.25 * 0.5 + 0.5 * 1.5 + 0.25 * 0.5, 1e-9);
  EXPECT_NEAR(terms->alignment, 0.5, 1e-6) << "each has one neighbour, and shares one expert of two with it";
  EXPECT_EQ(terms->cohesion, 0);
  EXPECT_EQ(terms->nash, 0) << "nothing but similarity counts, and both have their best";
}

TEST(BalanceTest, RegretIsWhatATokenWouldGain) {
  const std::vector<float> logits = {2, 1, 0, 0, 0, 3, 1, 0};
  const auto terms = TermsOf({logits, {}, {}}, {4, 2, 4, {}, 50}, std::vector<uint16_t>{0, 1, 1, 3});
  ASSERT_TRUE(terms.ok());
  EXPECT_NEAR(terms->nash, 0.5, 1e-6) << "the second would gain 1 by expert 2 for expert 3";
}

TEST(BalanceTest, EvenUseOfEvenRouterIsOne) {
  const std::vector<float> logits(8 * 4);
  std::vector<uint16_t> chosen;
  for (uint16_t t = 0; t < 8; ++t) chosen.push_back(t % 4);
  EXPECT_NEAR(TermsOf({logits, {}, {}}, {4, 1, 4, {}, 50}, chosen)->balance, 1, 1e-9);
}

TEST(BalanceTest, TheGameLowersWhatItPaysFor) {
  const std::vector<float> logits = RandomLogits(512, 16), centres = RandomCentres(16, 8);
  std::vector<uint8_t> cached(16);
  cached[3] = cached[7] = 1;
  const Batch batch{logits, centres, cached};
  const Options forces{16, 2, 7, {.load = 2, .separation = 2, .alignment = 2, .cohesion = 1, .cached = 2}, 50};
  Options still = forces;
  still.weights = {};
  const Terms own = *TermsOf(batch, forces, Route(batch, still)->chosen), game = *TermsOf(batch, forces, Route(batch, forces)->chosen);
  EXPECT_LT(game.balance, own.balance);
  EXPECT_LT(game.separation, own.separation);
  EXPECT_GT(game.cache, own.cache);
  EXPECT_GT(own.nash, 0.01);
  EXPECT_LT(game.nash, 1e-4);
}

TEST(BalanceTest, TotalIsTheSumOfWeighedTerms) {
  const Terms terms{1, 2, 3, 4, 5, 6};
  EXPECT_NEAR(TotalLoss(10, terms, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}), 10 + 0.1 - 0.4 + 0.9 - 1.6 - 2.5 + 3.6, 1e-12);
  Terms sum = terms;
  sum += terms;
  EXPECT_EQ((sum / 2).nash, 6);
}

TEST(BalanceTest, RefusesChoicesThatAreNone) {
  const std::vector<float> logits(8);
  for (const std::vector<uint16_t>& chosen : {std::vector<uint16_t>{0, 1, 1}, {0, 1, 1, 1}, {0, 1, 2, 4}}) {
    EXPECT_EQ(ReasonOf(TermsOf({logits, {}, {}}, {4, 2, 4, {}, 50}, chosen).status()), "ROUTING_SHAPE");
  }
}

}  // namespace
}  // namespace nashswarm::routing
