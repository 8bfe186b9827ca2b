#include "core/evaluate/distributions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace nashswarm::evaluate {
namespace {

std::vector<float> RandomLogits(size_t n, uint32_t seed, float spread) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& x : logits) x = normal(generator);
  return logits;
}

TEST(DistributionsTest, TwoTokensByHand) {
  // p = (1/4, 3/4), q = (1/2, 1/2): KL = 1/4 log(1/2) + 3/4 log(3/2).
  const std::vector<float> p = {0.0f, std::log(3.0f)}, q = {5.0f, 5.0f};
  const Normalizer p_sum = Normalize(p), q_sum = Normalize(q);
  EXPECT_NEAR(p_sum.log_sum, std::log(4.0), 1e-6);
  EXPECT_EQ(p_sum.top, 1u);
  EXPECT_EQ(q_sum.top, 0u);  // the first of equal ones
  EXPECT_NEAR(KlDivergence(p, p_sum, q, q_sum), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-6);
}

TEST(DistributionsTest, AgreesWithPlainArithmeticAtEveryLength) {
  for (const size_t n : {1, 2, 7, 15, 16, 17, 31, 33, 511, 512, 513, 1000, 32000, 50257}) {
    const std::vector<float> p = RandomLogits(n, static_cast<uint32_t>(n), 3), noise = RandomLogits(n, 7, 0.2f);
    std::vector<float> q = p;
    for (size_t i = 0; i < n; ++i) q[i] += noise[i];
    const Normalizer p_sum = Normalize(p), plain = NormalizePlain(p);
    EXPECT_NEAR(p_sum.log_sum, plain.log_sum, 2e-6) << n;
    EXPECT_EQ(p_sum.top, plain.top) << n;
    const double expected = KlDivergencePlain(p, q);
    EXPECT_NEAR(KlDivergence(p, p_sum, q, Normalize(q)), expected, 1e-6 + 1e-4 * expected) << n;
  }
}

TEST(DistributionsTest, SmallDivergencesAreNotLostInRounding) {
  // A thousandth of a logit: a divergence of some 1e-7, of logits around 20.
  std::vector<float> p = RandomLogits(32000, 1, 3);
  const std::vector<float> noise = RandomLogits(32000, 2, 1e-3f);
  for (float& x : p) x += 20;
  std::vector<float> q = p;
  for (size_t i = 0; i < q.size(); ++i) q[i] += noise[i];
  const double expected = KlDivergencePlain(p, q);
  ASSERT_GT(expected, 1e-7);
  EXPECT_NEAR(KlDivergence(p, Normalize(p), q, Normalize(q)), expected, 0.5 * expected);
}

TEST(DistributionsTest, EqualRowsDoNotDiverge) {
  const std::vector<float> p = RandomLogits(5000, 3, 5);
  std::vector<float> shifted = p;
  for (float& x : shifted) x += 4;  // the same distribution
  EXPECT_EQ(KlDivergence(p, Normalize(p), p, Normalize(p)), 0);
  EXPECT_LT(KlDivergence(p, Normalize(p), shifted, Normalize(shifted)), 1e-6);
}

TEST(DistributionsTest, LargeLogitsDoNotOverflow) {
  const std::vector<float> p = {1000, 0, -1000}, q = {0, 0, 0};
  const Normalizer p_sum = Normalize(p);
  EXPECT_NEAR(p_sum.log_sum, 1000, 1e-3);
  EXPECT_NEAR(KlDivergence(p, p_sum, q, Normalize(q)), std::log(3.0), 1e-4);
}

}  // namespace
}  // namespace nashswarm::evaluate
