#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/unit/feedback/test_moments.h"

namespace nashswarm::feedback {
namespace {

// Greatest entry of U^T U (H + added) - I, by plain loops.
double Residual(const Moment& moment) {
  const size_t n = moment.width();
  std::vector<double> inverse(n * n, 0.0);
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = k; i < n; ++i) {
      for (size_t j = k; j < n; ++j) {
        inverse[i * n + j] += static_cast<double>(moment.factor()[k * n + i]) * moment.factor()[k * n + j];
      }
    }
  }
  double worst = 0.0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double sum = i == j ? -1.0 : 0.0;
      for (size_t k = 0; k < n; ++k) {
        sum += inverse[i * n + k] * (moment.h()[k * n + j] + (k == j ? moment.added() : 0.0));
      }
      worst = std::max(worst, std::fabs(sum));
    }
  }
  return worst;
}

TEST(FeedbackMomentTest, FactorIsThatOfTheInverse) {
  for (const auto& h : {Autoregressive(96, 0.9), LowRank(96, 10, 0.3f, 1), Identity(96)}) {
    const auto moment = Moment::Make(h, 96);
    EXPECT_LT(Residual(*moment), 1e-4);
    EXPECT_EQ(moment->damping(), 0.01);
    for (size_t i = 0; i < 96; ++i) {
      for (size_t j = 0; j < i; ++j) ASSERT_EQ(moment->factor()[i * 96 + j], 0.0f);
    }
  }
}

// By hand: H = [2 1; 1 2] has the inverse [2 -1; -1 2] / 3 = U^T U.
TEST(FeedbackMomentTest, TwoInputsByHand) {
  const auto moment = Moment::Make(std::vector<float>{2, 1, 1, 2}, 2, 0.0);
  EXPECT_NEAR(moment->factor()[0], std::sqrt(2.0 / 3.0), 1e-6);
  EXPECT_NEAR(moment->factor()[1], -1.0 / 3.0 / std::sqrt(2.0 / 3.0), 1e-6);
  EXPECT_NEAR(moment->factor()[3], std::sqrt(0.5), 1e-6);
}

TEST(FeedbackMomentTest, OnlyTheLowerTriangleIsRead) {
  const std::vector<float> whole = LowRank(64, 8, 0.5f, 2);
  std::vector<float> lower = whole;
  for (size_t i = 0; i < 64; ++i) {
    for (size_t j = i + 1; j < 64; ++j) lower[i * 64 + j] = 99.0f;
  }
  const auto a = Moment::Make(whole, 64), b = Moment::Make(lower, 64);
  EXPECT_TRUE(std::equal(a->h().begin(), a->h().end(), whole.begin()));
  EXPECT_TRUE(std::equal(a->h().begin(), a->h().end(), b->h().begin()));
  EXPECT_TRUE(std::equal(a->factor().begin(), a->factor().end(), b->factor().begin()));
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(a->diagonal()[i], whole[i * 64 + i]);
}

TEST(FeedbackMomentTest, DampingIsAShareOfTheMeanDiagonal) {
  std::vector<float> h = Identity(32);
  h[0] = 33.0f;  // mean diagonal 2
  EXPECT_FLOAT_EQ(Moment::Make(h, 32, 0.05)->added(), 0.1f);
}

TEST(FeedbackMomentTest, DampingGrowsUntilTheFactorizationSucceeds) {
  EXPECT_EQ(Moment::Make(LowRank(64, 3, 0.0f, 3), 64)->damping(), 0.01);  // rank 3 of 64 needs no more
  std::vector<float> indefinite = Identity(32);
  indefinite[32] = indefinite[1] = 3.0f;  // an eigenvalue of -2: the damping must exceed that
  const auto moment = Moment::Make(indefinite, 32);
  EXPECT_DOUBLE_EQ(moment->damping(), 10.0);
  EXPECT_LT(Residual(*moment), 1e-4);
  EXPECT_DOUBLE_EQ(Moment::Make(std::vector<float>(32 * 32, 1.0f), 32, 0.0)->damping(), 0.01);
}

TEST(FeedbackMomentTest, DeadInputsAndNoInputs) {
  std::vector<float> h = Autoregressive(64, 0.8);
  for (size_t i = 0; i < 64; ++i) h[5 * 64 + i] = h[i * 64 + 5] = 0.0f;
  const auto moment = Moment::Make(h, 64);
  EXPECT_LT(Residual(*moment), 1e-4);
  for (size_t j = 6; j < 64; ++j) EXPECT_EQ(moment->factor()[5 * 64 + j], 0.0f);
  const auto none = Moment::Make(std::vector<float>(64 * 64, 0.0f), 64);
  for (float u : none->factor()) EXPECT_TRUE(std::isfinite(u));
}

TEST(FeedbackMomentTest, ComparesByHand) {
  const auto moment = Moment::Make(std::vector<float>{2, 1, 1, 2}, 2);
  const std::vector<float> w = {1, 2, 3, -1}, decoded = {0, 2, 2, -2};  // errors (1 0), (1 1)
  const MomentError e = CompareWithMoment(w.data(), decoded.data(), 2, *moment);
  EXPECT_DOUBLE_EQ(e.error, 2.0 + 6.0);
  EXPECT_DOUBLE_EQ(e.energy, (2.0 + 8.0 + 4.0) + (18.0 + 2.0 - 6.0));
  EXPECT_EQ(CompareWithMoment(nullptr, nullptr, 0, *moment).error, 0.0);
}

TEST(FeedbackMomentTest, ComparesManyRows) {
  const size_t width = 96, rows = 131;
  const auto moment = Moment::Make(LowRank(width, 8, 0.5f, 4), width);
  const std::vector<float> w = quant::NormalRow(rows * width, 5), decoded = quant::NormalRow(rows * width, 6);
  double expected = 0.0;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) {
        const size_t a = row * width + i, b = row * width + j;
        const double left = static_cast<double>(w[a]) - decoded[a], right = static_cast<double>(w[b]) - decoded[b];
        expected += left * moment->h()[i * width + j] * right;
      }
    }
  }
  EXPECT_NEAR(CompareWithMoment(w.data(), decoded.data(), rows, *moment).error, expected, 1e-5 * expected);
}

}  // namespace
}  // namespace nashswarm::feedback
