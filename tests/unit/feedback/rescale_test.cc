// Better scales for fixed levels, against e H e^T as plain double-precision loops compute it.
#include "core/feedback/rescale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <utility>

#include "tests/unit/feedback/test_moments.h"

namespace nashswarm::feedback {
namespace {

// One sub-block in every row of a strip: random levels, and weights that a somewhat different scale and minimum made.
class Problem {
 public:
  explicit Problem(const quant::BlockShape& shape, uint32_t seed)
      : n_(shape.sub_weights()), h_(LowRank(kStrip, 6, 0.3f, seed)), x_(kStrip * kPanelRows), value_(x_), w_(x_) {
    quant::Noise noise(seed);
    strip_.grid = shape.grid;
    strip_.subs = kStrip / n_;
    strip_.matrix = h_.data();
    strip_.stride = kStrip;
    strip_.added = 0.25f;
    strip_.x = x_.data();
    strip_.value = value_.data();
    for (int row = 0; row < kPanelRows; ++row) {
      quant::BlockScales& s = scales_[row];
      s.d = quant::StorableScale(shape, 0.01f + 0.02f * noise.Uniform());
      if (shape.subs == 1) s.scale[0] = 1;
      if (shape.subs > 1) s.scale[0] = static_cast<int8_t>(3 + 9 * noise.Uniform());
      if (shape.has_min()) s.dmin = quant::StorableMinimum(0.02f + 0.02f * noise.Uniform());
      if (shape.has_min()) s.min[0] = static_cast<int8_t>(shape.subs == 1 ? 1 : 2 + 9 * noise.Uniform());
      for (int i = 0; i < n_; ++i) {
        const float level = std::nearbyint(shape.grid.lo + noise.Uniform() * (shape.grid.hi - shape.grid.lo));
        value_[i * kPanelRows + row] = level;
        w_[i * kPanelRows + row] = (1.0f + 0.2f * noise.Normal()) * s.ScaleOf(0) * level -
                                   (1.0f + 0.2f * noise.Normal()) * s.MinOf(0) + s.ScaleOf(0) * noise.Normal();
      }
      for (int i = 0; i < n_; ++i) x_[i * kPanelRows + row] = static_cast<float>(Gradient(row, i, s));
    }
  }

  SubSums Sums() const {
    SubSums sums;
    ScalarKernels().sum(strip_, 0, sums);
    return sums;
  }
  const quant::BlockScales& ScalesOf(int row) const { return scales_[row]; }

  double Error(int row, const quant::BlockScales& scales) const {
    double error = 0.0;
    for (int i = 0; i < n_; ++i) error += ErrorAt(row, i, scales) * Gradient(row, i, scales);
    return error;
  }

 private:
  double ErrorAt(int row, int i, const quant::BlockScales& s) const {
    const int at = i * kPanelRows + row;
    return w_[at] - (static_cast<double>(s.ScaleOf(0)) * value_[at] - s.MinOf(0));
  }
  double Gradient(int row, int i, const quant::BlockScales& s) const {
    double sum = strip_.added * ErrorAt(row, i, s);
    for (int k = 0; k < n_; ++k) sum += static_cast<double>(h_[i * kStrip + k]) * ErrorAt(row, k, s);
    return sum;
  }

  int n_;
  std::vector<float> h_, x_, value_, w_;
  Strip strip_;
  quant::BlockScales scales_[kPanelRows];
};

TEST(FeedbackRescaleTest, FindsScalesThatNoSmallStepBeats) {
  for (Format format : {Format::kQ4_0, Format::kQ8_0, Format::kQ4_1, Format::kQ6_K, Format::kQ4_K, Format::kQ2_K}) {
    const quant::BlockShape& shape = quant::ShapeOf(format);
    const auto problem = std::make_unique<Problem>(shape, static_cast<uint32_t>(format) + 1);
    const SubSums sums = problem->Sums();
    double before = 0.0, after = 0.0;
    for (int row = 0; row < kPanelRows; ++row) {
      quant::BlockScales scales = problem->ScalesOf(row);
      const double first = problem->Error(row, scales);
      ImproveScales(shape, sums, row, 0, scales);
      const double best = problem->Error(row, scales);
      EXPECT_LE(best, first) << quant::InfoOf(format).name;
      before += first, after += best;
      // A step of scale or minimum, alone: integers by one, halves by some.
      const auto expect_no_better = [&](const quant::BlockScales& other) {
        EXPECT_GE(problem->Error(row, other), best * (1.0 - 1e-4)) << quant::InfoOf(format).name << " row " << row;
      };
      for (int step : {-1, 1}) {
        quant::BlockScales scale = scales, min = scales;
        if (shape.subs == 1) {
          scale.d = quant::StorableScale(shape, scales.d * (1.0f + 0.004f * static_cast<float>(step)));
          min.dmin = quant::StorableMinimum(scales.dmin * (1.0f + 0.004f * static_cast<float>(step)));
        } else {
          scale.scale[0] = static_cast<int8_t>(scales.scale[0] + step);
          min.min[0] = static_cast<int8_t>(scales.min[0] + step);
        }
        if (shape.subs == 1 || (scale.scale[0] >= shape.least_scale && scale.scale[0] <= shape.greatest_scale)) {
          expect_no_better(scale);
        }
        // The pair is rounded one after the other: in integer formats the minimum may be one off.
        if (shape.subs == 1 && shape.has_min()) expect_no_better(min);
      }
    }
    EXPECT_LT(after, 0.999 * before) << quant::InfoOf(format).name;
  }
}

// Of powers of two, the one nearest to the best scale, and no scale in between.
TEST(FeedbackRescaleTest, PowersOfTwoStayPowersOfTwo) {
  const quant::BlockShape& shape = quant::ShapeOf(Format::kMXFP4);
  constexpr std::pair<double, float> kScales[] = {{0.3, 0.25f}, {0.37, 0.25f}, {0.38, 0.5f}, {0.7, 0.5f},
                                                  {0.76, 1.0f}, {3.1, 4.0f},   {-0.2, 0.0f}, {1e30, quant::kGreatestPower}};
  for (const auto& [best, expected] : kScales) {
    SubSums sums = {};  // of a sub-block whose e H e^T is least at the scale `best`
    sums.vHv[7] = 3.0f;
    sums.gv[7] = static_cast<float>(3.0 * (best - 0.5));
    quant::BlockScales scales;
    scales.d = 0.5f;
    scales.scale[0] = 1;
    EXPECT_EQ(ImproveScales(shape, sums, 7, 0, scales), expected != 0.5f) << best;
    EXPECT_EQ(scales.d, expected) << best;
  }
}

TEST(FeedbackRescaleTest, StaysWithinTheFormat) {
  const quant::BlockShape& shape = quant::ShapeOf(Format::kQ4_K);
  SubSums sums = {};
  sums.H = 1.0f;
  for (float gradient : {-1e6f, 1e6f}) {
    sums.gv[3] = gradient, sums.g[3] = -gradient, sums.vHv[3] = 1.0f;
    quant::BlockScales scales;
    scales.d = scales.dmin = 1.0f;
    scales.scale[2] = scales.min[2] = 30;
    ImproveScales(shape, sums, 3, 2, scales);
    EXPECT_EQ(scales.scale[2], gradient < 0 ? 0 : 63);
    EXPECT_EQ(scales.min[2], gradient < 0 ? 0 : 63);
  }
}

TEST(FeedbackRescaleTest, LeavesTheBestAlone) {
  const SubSums sums = {};  // no gradient, no curvature
  quant::BlockScales scales;
  scales.d = 0.5f;
  scales.scale[0] = 1;
  EXPECT_FALSE(ImproveScales(quant::ShapeOf(Format::kQ4_0), sums, 0, 0, scales));
  EXPECT_EQ(scales.d, 0.5f);
}

}  // namespace
}  // namespace nashswarm::feedback
