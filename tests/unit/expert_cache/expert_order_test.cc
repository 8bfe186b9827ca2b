#include "core/expert_cache/expert_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "core/base/status.h"
#include "core/expert_cache/spectral.h"

namespace nashswarm::expert_cache {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;

class Weights {
 public:
  explicit Weights(uint32_t n) : n_(n), values_(static_cast<size_t>(n) * n) {}
  void Set(uint32_t a, uint32_t b, uint32_t w) { values_[a * n_ + b] = values_[b * n_ + a] = w; }
  uint32_t Get(uint32_t a, uint32_t b) const { return values_[a * n_ + b]; }
  uint32_t n() const { return n_; }
  absl::Span<const uint32_t> span() const { return values_; }

 private:
  uint32_t n_;
  std::vector<uint32_t> values_;
};

Weights RandomWeights(uint64_t seed, uint32_t n, double density) {
  std::mt19937_64 random(seed);
  Weights weights(n);
  for (uint32_t a = 0; a < n; ++a) {
    for (uint32_t b = 0; b < a; ++b) {
      if (static_cast<double>(random() % 1000) < 1000 * density) weights.Set(a, b, 1 + random() % 50);
    }
  }
  return weights;
}

// The definition, from the places of both.
uint64_t CostByDefinition(const Weights& weights, const ExpertOrder& order) {
  std::vector<int64_t> place(order.size());
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i);
  int64_t cost = 0;
  for (uint32_t a = 0; a < weights.n(); ++a) {
    for (uint32_t b = a + 1; b < weights.n(); ++b) cost += weights.Get(a, b) * std::abs(place[a] - place[b]);
  }
  return static_cast<uint64_t>(cost);
}

uint64_t LowestCost(const Weights& weights) {
  ExpertOrder order = OriginalOrder(weights.n());
  uint64_t lowest = std::numeric_limits<uint64_t>::max();
  do {
    lowest = std::min(lowest, CostByDefinition(weights, order));
  } while (std::next_permutation(order.begin(), order.end()));
  return lowest;
}

ExpertOrder Order(const Weights& weights) {
  auto order = OrderExperts(weights.span(), weights.n());
  if (!order.ok()) ADD_FAILURE() << order.status();
  EXPECT_TRUE(order.ok() && ValidateOrder(*order, weights.n()).ok());
  return order.ok() ? *order : OriginalOrder(weights.n());
}

std::vector<uint32_t> Shuffled(uint64_t seed, uint32_t n) {
  std::vector<uint32_t> names = OriginalOrder(n);
  std::mt19937_64 random(seed);
  for (uint32_t i = n; i > 1; --i) std::swap(names[i - 1], names[random() % i]);
  return names;
}

TEST(ExpertOrder, CostIsTheDefinition) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Weights weights = RandomWeights(seed, 9, 0.6);
    const ExpertOrder order = Shuffled(seed, 9);
    const auto cost = ArrangementCost(weights.span(), order);
    ASSERT_TRUE(cost.ok()) << cost.status();
    EXPECT_EQ(*cost, CostByDefinition(weights, order));
  }
}

// A local search need not find the lowest cost; so often and so nearly it does.
TEST(ExpertOrder, ComesNearBruteForce) {
  int cases = 0, lowest_found = 0;
  double worst = 1;
  for (uint32_t n = 1; n <= 8; ++n) {
    for (uint64_t seed = 0; seed < (n == 8 ? 10u : 40u); ++seed) {
      const Weights weights = RandomWeights(seed * 100 + n, n, seed % 2 == 0 ? 1.0 : 0.5);
      const uint64_t lowest = LowestCost(weights), cost = CostByDefinition(weights, Order(weights));
      ASSERT_GE(cost, lowest);
      ++cases;
      lowest_found += cost == lowest ? 1 : 0;
      if (lowest > 0) worst = std::max(worst, static_cast<double>(cost) / static_cast<double>(lowest));
    }
  }
  EXPECT_GE(lowest_found * 100, cases * 95) << lowest_found << " of " << cases;
  EXPECT_LE(worst, 1.06);
}

TEST(ExpertOrder, NoMoveAndNoSwapIsLeft) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Weights weights = RandomWeights(seed, 17, 0.5);
    const ExpertOrder order = Order(weights);
    const uint64_t cost = CostByDefinition(weights, order);
    for (size_t i = 0; i < order.size(); ++i) {
      for (size_t j = 0; j < order.size(); ++j) {
        ExpertOrder swapped = order, moved = order;
        std::swap(swapped[i], swapped[j]);
        moved.erase(moved.begin() + static_cast<std::ptrdiff_t>(i));
        moved.insert(moved.begin() + static_cast<std::ptrdiff_t>(j), order[i]);
        ASSERT_GE(CostByDefinition(weights, swapped), cost) << i << " and " << j;
        ASSERT_GE(CostByDefinition(weights, moved), cost) << i << " to " << j;
      }
    }
  }
}

TEST(ExpertOrder, NeverWorseThanTheOriginal) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto n = static_cast<uint32_t>(2 + seed);
    // Every other time the original is as good as can be: a chain.
    Weights weights = RandomWeights(seed, n, 0.3);
    if (seed % 2 == 0) {
      weights = Weights(n);
      for (uint32_t i = 0; i + 1 < n; ++i) weights.Set(i, i + 1, 1 + i % 5);
    }
    EXPECT_LE(CostByDefinition(weights, Order(weights)), CostByDefinition(weights, OriginalOrder(n)));
  }
}

TEST(ExpertOrder, FindsAHiddenChain) {
  const uint32_t n = 48;
  const std::vector<uint32_t> names = Shuffled(7, n);
  Weights weights(n);
  for (uint32_t i = 0; i + 1 < n; ++i) weights.Set(names[i], names[i + 1], 10);
  EXPECT_EQ(CostByDefinition(weights, Order(weights)), (n - 1) * 10u);
}

// Without the local search: the spectral order of a chain is the chain.
TEST(ExpertOrder, SpectralOrderOfAChainIsTheChain) {
  const uint32_t n = 24;
  const std::vector<uint32_t> names = Shuffled(11, n);
  Weights weights(n);
  for (uint32_t i = 0; i + 1 < n; ++i) weights.Set(names[i], names[i + 1], 10);
  const std::vector<uint32_t> backwards(names.rbegin(), names.rend());
  EXPECT_THAT(SpectralOrder(weights.span(), n), AnyOf(names, backwards));
}

// Groups that are used together, and now and then with any other: each comes to lie in one piece.
TEST(ExpertOrder, PutsGroupsTogether) {
  const uint32_t n = 32, group = 4;
  const std::vector<uint32_t> names = Shuffled(13, n);
  Weights weights(n);
  std::vector<uint32_t> group_of(n);
  for (uint32_t a = 0; a < n; ++a) {
    group_of[names[a]] = a / group;
    for (uint32_t b = 0; b < a; ++b) weights.Set(names[a], names[b], a / group == b / group ? 100 : 1);
  }
  const ExpertOrder order = Order(weights);
  for (uint32_t i = 0; i < n; ++i) EXPECT_EQ(group_of[order[i]], group_of[order[i - i % group]]) << i;
}

TEST(ExpertOrder, PartsWithoutConnectionStayInOnePiece) {
  Weights weights(6);
  weights.Set(0, 3, 5);
  weights.Set(3, 5, 5);
  weights.Set(1, 4, 5);
  EXPECT_THAT(SpectralOrder(weights.span(), 6), ElementsAre(0, 3, 5, 1, 4, 2));
  EXPECT_EQ(CostByDefinition(weights, Order(weights)), 15u);
}

TEST(ExpertOrder, TheSameEachTime) {
  const Weights weights = RandomWeights(3, 40, 0.5);
  EXPECT_EQ(Order(weights), Order(weights));
}

TEST(ExpertOrder, WithoutWeightsTheOriginalStays) {
  EXPECT_EQ(Order(Weights(5)), OriginalOrder(5));
  EXPECT_EQ(Order(Weights(0)), OriginalOrder(0));
  EXPECT_EQ(Order(Weights(1)), OriginalOrder(1));
  // As good as any other.
  Weights even(4);
  for (uint32_t a = 0; a < 4; ++a) {
    for (uint32_t b = 0; b < a; ++b) even.Set(a, b, 3);
  }
  EXPECT_EQ(Order(even), OriginalOrder(4));
}

TEST(ExpertOrder, RefusesWhatIsNoGraphAndWhatIsNoOrder) {
  const std::vector<uint32_t> crooked = {0, 1, 2, 0}, huge(size_t{1025} * 1025);
  EXPECT_EQ(ReasonOf(OrderExperts(crooked, 2).status()), "WEIGHTS_INVALID");
  EXPECT_EQ(ReasonOf(OrderExperts(crooked, 3).status()), "WEIGHTS_INVALID");
  EXPECT_EQ(ReasonOf(OrderExperts(huge, 1025).status()), "WEIGHTS_INVALID");
  const Weights weights(3);
  EXPECT_EQ(ReasonOf(ArrangementCost(weights.span(), {0, 1, 1}).status()), "ORDER_INVALID");
  EXPECT_EQ(ReasonOf(ArrangementCost(weights.span(), {0, 1, 3}).status()), "ORDER_INVALID");
  EXPECT_EQ(ReasonOf(ArrangementCost(weights.span(), {0, 1}).status()), "WEIGHTS_INVALID");
  EXPECT_EQ(ReasonOf(ValidateOrder({0, 1}, 3)), "ORDER_INVALID");
}

// The diagonal is no pair, and the largest weights there are do not overflow.
TEST(ExpertOrder, IgnoresTheDiagonalAndTakesLargeWeights) {
  Weights weights(3);
  weights.Set(1, 1, 1000);
  weights.Set(0, 2, ~0u);
  EXPECT_EQ(CostByDefinition(weights, Order(weights)), uint64_t{~0u});
  const auto cost = ArrangementCost(weights.span(), {0, 1, 2});
  ASSERT_TRUE(cost.ok()) << cost.status();
  EXPECT_EQ(*cost, 2 * uint64_t{~0u});
}

}  // namespace
}  // namespace nashswarm::expert_cache
