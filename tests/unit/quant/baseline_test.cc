#include "core/quant/baseline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

struct Rounded {
  std::vector<float> decoded;
  uint64_t bytes;
};

Rounded Uniform(const std::vector<float>& weights, int bits) {
  Rounded r = {std::vector<float>(weights.size()), 0};
  r.bytes = RoundUniform(weights, bits, absl::MakeSpan(r.decoded));
  return r;
}

Rounded ByMagnitude(const std::vector<float>& weights) {
  Rounded r = {std::vector<float>(weights.size()), 0};
  r.bytes = RoundByMagnitude(weights, absl::MakeSpan(r.decoded));
  return r;
}

// By hand: 2 bits over -1..2 are the integers -1, 0, 1, 2.
TEST(QuantBaselineTest, UniformByHand) {
  const Rounded r = Uniform({-1.0f, -0.6f, -0.4f, 0.2f, 0.9f, 1.4f, 1.6f, 2.0f, 0.0f}, 2);
  EXPECT_EQ(r.decoded, (std::vector<float>{-1, -1, 0, 0, 1, 1, 2, 2, 0}));
  EXPECT_EQ(r.bytes, 3u + 8u);  // 18 bits
  const Rounded one = Uniform({3.0f, 5.0f, 3.5f, 4.5f}, 1);
  EXPECT_EQ(one.decoded, (std::vector<float>{3, 5, 3, 5}));
  EXPECT_EQ(one.bytes, 1u + 8u);
}

// Two rows of five in groups of three: every group from its own least weight in its own steps, the last of a row a short one.
TEST(QuantBaselineTest, GroupsByHand) {
  std::vector<float> weights = {0, 1, 3, 8, 11, -6, -4.6f, 0, 0.5f, 0.5f};
  const uint64_t bytes = RoundInGroups(weights, 5, 2, 3, absl::MakeSpan(weights));
  EXPECT_EQ(weights, (std::vector<float>{0, 1, 3, 8, 11, -6, -4, 0, 0.5f, 0.5f}));
  EXPECT_EQ(bytes, 3u + 4 * 4u);  // 20 bits, and two halves for each of four groups
}

// From -65520 on rounding to a half gives infinity, and a group of it nothing but NaN.
TEST(QuantBaselineTest, GroupsBeyondTheRangeOfHalvesDecodeToNumbers) {
  for (const float far : {65504.0f, 65520.0f, 1e5f, 3e38f}) {
    std::vector<float> weights = {-far, 0, 1, far, 2, 3, -far, -far, far, far};
    RoundInGroups(weights, 5, 4, 3, absl::MakeSpan(weights));
    for (const float x : weights) EXPECT_TRUE(std::isfinite(x)) << far;
    EXPECT_EQ(weights[0], -65504.0f);
  }
}

TEST(QuantBaselineTest, UniformErrorIsWithinHalfAStep) {
  const std::vector<float> weights = HeavyTailedRow(5000, 1);
  const auto [lo, hi] = std::minmax_element(weights.begin(), weights.end());
  for (int bits = 1; bits <= 8; ++bits) {
    const Rounded r = Uniform(weights, bits);
    const double step = (static_cast<double>(*hi) - *lo) / ((1 << bits) - 1);
    for (size_t i = 0; i < weights.size(); ++i) ASSERT_LE(std::fabs(r.decoded[i] - weights[i]), 0.5001 * step);
    EXPECT_LE(std::set<float>(r.decoded.begin(), r.decoded.end()).size(), size_t{1} << bits);
    EXPECT_EQ(r.bytes, 625u * bits + 8u);
  }
}

TEST(QuantBaselineTest, UniformDegenerateTensors) {
  EXPECT_EQ(Uniform({}, 4).bytes, 8u);
  EXPECT_EQ(Uniform({0.7f, 0.7f}, 3).decoded, (std::vector<float>{0.7f, 0.7f}));
  for (float x : Uniform({1e-45f, 3e-45f, -1e-45f}, 8).decoded) EXPECT_TRUE(std::isfinite(x));
  for (float x : Uniform({-3.4e38f, 3.4e38f, 0.0f}, 8).decoded) EXPECT_TRUE(std::isfinite(x));
}

// By hand, ten weights: the greatest magnitude alone; the next two over -8..7; the rest over -3..3, in steps of 2,
// halves to even.
TEST(QuantBaselineTest, MagnitudeByHand) {
  const Rounded r = ByMagnitude({1.2f, -8.0f, 3.0f, 100.0f, -3.0f, 0.2f, 7.0f, -1.2f, -2.5f, 0.0f});
  EXPECT_EQ(r.decoded, (std::vector<float>{1, -8, 3, 100, -3, 1, 7, -1, -3, 1}));
  // 8 + 2 * 4 + 7 * 2 = 30 bits, and 11.57 bits, rounded up, for the classes.
  EXPECT_EQ(r.bytes, 6u + 24u);
}

// All magnitudes alike: position decides, and the counts are exact.
TEST(QuantBaselineTest, EqualMagnitudesGoByPosition) {
  std::vector<float> weights(20, 1.0f);
  weights[1] = weights[4] = weights[19] = -1.0f;
  EXPECT_EQ(ByMagnitude(weights).decoded, weights);  // every class has just these values
  // A cut between equals: of four 5s one is in the first class and two are in the second, the last is in the third.
  const Rounded r = ByMagnitude({5.0f, 0.0f, 5.0f, 1.0f, 5.0f, 2.0f, 5.0f, 0.5f, -1.0f, 1.5f});
  EXPECT_EQ(r.decoded, (std::vector<float>{5, -1, 5, 1, 5, 3, 5, 1, -1, 1}));
}

TEST(QuantBaselineTest, MagnitudeClassesAreThoseOfSorting) {
  const std::vector<float> weights = HeavyTailedRow(10007, 2);
  std::vector<size_t> order(weights.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return std::fabs(weights[a]) > std::fabs(weights[b]); });
  const size_t ends[] = {0, 1000, 3001, 10007};
  const int bits[] = {8, 4, 2};
  const Rounded r = ByMagnitude(weights);
  for (int c = 0; c < 3; ++c) {
    std::vector<float> members;
    for (size_t k = ends[c]; k < ends[c + 1]; ++k) members.push_back(weights[order[k]]);
    const std::vector<float> expected = Uniform(members, bits[c]).decoded;
    for (size_t k = 0; k < members.size(); ++k) ASSERT_EQ(r.decoded[order[ends[c] + k]], expected[k]) << c;
  }
  const double map = 1.15677964944704 * 10007;
  EXPECT_EQ(r.bytes, static_cast<uint64_t>(std::ceil((1000 * 8 + 2001 * 4 + 7006 * 2 + std::ceil(map)) / 8)) + 24u);
}

TEST(QuantBaselineTest, DecodesInPlaceAndSmallTensors) {
  std::vector<float> weights = HeavyTailedRow(1000, 3);
  const Rounded r = ByMagnitude(weights), u = Uniform(weights, 4);
  std::vector<float> copy = weights;
  RoundByMagnitude(copy, absl::MakeSpan(copy));
  EXPECT_EQ(copy, r.decoded);
  RoundUniform(weights, 4, absl::MakeSpan(weights));
  EXPECT_EQ(weights, u.decoded);
  EXPECT_EQ(ByMagnitude({}).bytes, 24u);
  EXPECT_EQ(ByMagnitude({2.5f}).decoded, std::vector<float>{2.5f});
}

}  // namespace
}  // namespace nashswarm::quant
