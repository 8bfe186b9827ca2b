#include "core/nsq/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/nsq/test_data.h"

namespace nashswarm::nsq {
namespace {

constexpr uint32_t kRows = 70, kColumns = 9;

// sum_i row_weight_i * v_i H v_i^T, written out.
double Quadratic(const std::vector<float>& v, const std::vector<float>& h, const std::vector<float>& row_weights) {
  double total = 0;
  for (uint32_t r = 0; r < kRows; ++r) {
    double sum = 0;
    for (uint32_t i = 0; i < kColumns; ++i) {
      for (uint32_t j = 0; j < kColumns; ++j) {
        sum += static_cast<double>(v[r * kColumns + i]) * h[i * kColumns + j] * v[r * kColumns + j];
      }
    }
    total += sum * (row_weights.empty() ? 1.0 : row_weights[r]);
  }
  return total;
}

class LossTest : public testing::Test {
 protected:
  void Check(const MatrixLoss& loss, const std::vector<float>& h) {
    std::vector<float> errors(weights_.size());
    for (size_t i = 0; i < errors.size(); ++i) errors[i] = weights_[i] - decoded_[i];
    const LossSum sum = Compare(loss, weights_.data(), decoded_.data(), 0, kRows, kColumns);
    EXPECT_NEAR(sum.error, Quadratic(errors, h, loss.row_weights), 1e-4 * sum.error);
    EXPECT_NEAR(sum.energy, Quadratic(weights_, h, loss.row_weights), 1e-4 * sum.energy);
    // Parts of the matrix add up.
    LossSum parts = Compare(loss, weights_.data(), decoded_.data(), 0, 33, kColumns);
    const LossSum rest = Compare(loss, &weights_[33 * kColumns], &decoded_[33 * kColumns], 33, kRows - 33, kColumns);
    EXPECT_NEAR(parts.error + rest.error, sum.error, 1e-4 * sum.error);
    EXPECT_NEAR(parts.energy + rest.energy, sum.energy, 1e-4 * sum.energy);
  }

  std::vector<float> RowWeights() const {
    std::vector<float> weights;
    for (uint32_t r = 0; r < kRows; ++r) weights.push_back(0.1f + static_cast<float>(r % 7));
    return weights;
  }

  std::vector<float> weights_ = NormalWeights(kRows * kColumns), decoded_ = NormalWeights(kRows * kColumns, 2);
};

TEST_F(LossTest, PlainErrorsCountAlike) {
  std::vector<float> h(kColumns * kColumns);
  for (uint32_t i = 0; i < kColumns; ++i) h[i * kColumns + i] = 1;
  Check({}, h);
  Check({.row_weights = RowWeights()}, h);
}

TEST_F(LossTest, ImportanceIsADiagonal) {
  MatrixLoss loss{.row_weights = RowWeights()};
  std::vector<float> h(kColumns * kColumns);
  for (uint32_t i = 0; i < kColumns; ++i) {
    loss.importance.push_back(static_cast<float>(i));
    h[i * kColumns + i] = loss.importance[i];
  }
  Check(loss, h);
}

TEST_F(LossTest, AMomentCountsInFull) {
  const std::vector<float> h = SecondMoment(kColumns, 0.7, 4);
  MatrixLoss loss{.moment = feedback::Moment::Make(h, kColumns)};
  Check(loss, h);
  loss.row_weights = RowWeights();
  Check(loss, h);
}

TEST_F(LossTest, NoEnergyIsNoError) { EXPECT_EQ(LossSum{}.relative(), 0); }

}  // namespace
}  // namespace nashswarm::nsq
