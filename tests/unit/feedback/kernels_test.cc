// Every SIMD target of this machine against the plain reference, to the bit.
#include "core/feedback/kernels.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/quant/kernels.h"
#include "tests/unit/feedback/test_moments.h"

namespace nashswarm::feedback {
namespace {

class FeedbackKernelsTest : public testing::Test {
 protected:
  ~FeedbackKernelsTest() override {
    UseKernels(nullptr);
    quant::ForceScalarKernels(false);
    quant::UseKernelTarget(0);
  }
  template <typename Check>
  static void OnEveryTarget(Check check) {
    for (int64_t targets = quant::KernelTargets(); targets != 0; targets &= targets - 1) {
      quant::UseKernelTarget(targets & -targets);
      SCOPED_TRACE(SimdKernels().name);
      check();
    }
    quant::UseKernelTarget(0);
  }
};

// A strip with numbers of its own.
struct Data {
  explicit Data(const quant::BlockShape& shape) {
    quant::Noise noise(1);
    const size_t size = kStrip * kPanelRows;
    matrix = LowRank(kStrip, 6, 0.3f, 2);
    x = quant::Generate(size, [&] { return noise.Normal(); });
    value = decoded = change = quant::Generate(size, [&] { return noise.Normal(); });
    strip.grid = shape.grid;
    strip.subs = kStrip / shape.sub_weights();
    strip.matrix = matrix.data();
    strip.stride = kStrip;
    strip.added = 0.125f;
    for (int j = 0; j < kStrip; ++j) strip.unit[j] = 1.0f / (matrix[j * kStrip + j] + strip.added);
    for (int sub = 0; sub < strip.subs; ++sub) {
      for (int row = 0; row < kPanelRows; ++row) {
        const float scale = row % 7 == 0 ? 0.0f : noise.Normal() * 3.0f / (shape.grid.hi - shape.grid.lo);
        strip.scale[sub][row] = scale;
        strip.inverse[sub][row] = scale == 0.0f ? 0.0f : 1.0f / scale;
        strip.min[sub][row] = shape.has_min() ? noise.Normal() : 0.0f;
      }
    }
  }
  Strip& Get() {
    strip.x = x.data(), strip.value = value.data(), strip.decoded = decoded.data(), strip.change = change.data();
    return strip;
  }
  Strip strip;
  std::vector<float> matrix, x, value, decoded, change;
};

TEST_F(FeedbackKernelsTest, AgreeOnStrips) {
  for (const FormatInfo& info : quant::BlockFormats()) {
    const Data data(quant::ShapeOf(info.format));
    for (auto kernel : {&Kernels::round, &Kernels::refine, &Kernels::rescale}) {
      Data expected = data;
      (ScalarKernels().*kernel)(expected.Get());
      OnEveryTarget([&] {
        Data got = data;
        (SimdKernels().*kernel)(got.Get());
        EXPECT_EQ(got.value, expected.value) << info.name;
        EXPECT_EQ(got.decoded, expected.decoded) << info.name;
        EXPECT_EQ(got.change, expected.change) << info.name;
        EXPECT_EQ(got.x, expected.x) << info.name;
      });
    }
  }
}

TEST_F(FeedbackKernelsTest, AgreeOnSums) {
  for (Format format : {Format::kQ4_0, Format::kQ2_K}) {
    Data data(quant::ShapeOf(format));
    for (int sub = 0; sub < data.strip.subs; ++sub) {
      SubSums expected;
      ScalarKernels().sum(data.Get(), sub, expected);
      OnEveryTarget([&] {
        SubSums got;
        SimdKernels().sum(data.Get(), sub, got);
        EXPECT_EQ(got.H, expected.H);
        for (int row = 0; row < kPanelRows; ++row) {
          EXPECT_EQ(got.g[row], expected.g[row]);
          EXPECT_EQ(got.gv[row], expected.gv[row]);
          EXPECT_EQ(got.vH[row], expected.vH[row]);
          EXPECT_EQ(got.vHv[row], expected.vHv[row]);
        }
      });
    }
  }
}

TEST_F(FeedbackKernelsTest, SameBytesFromEveryTarget) {
  const auto moment = Moment::Make(LowRank(512, 40, 0.3f, 3), 512);
  const std::vector<float> weights = quant::HeavyTailedRow(9 * 512, 4);
  for (const FormatInfo& info : quant::BlockFormats()) {
    UseKernels(&ScalarKernels());
    quant::ForceScalarKernels(true);
    const std::vector<uint8_t> expected = EncodeFed(info.format, weights, *moment);
    quant::ForceScalarKernels(false);
    UseKernels(nullptr);
    OnEveryTarget([&] { EXPECT_EQ(EncodeFed(info.format, weights, *moment), expected) << info.name; });
  }
}

}  // namespace
}  // namespace nashswarm::feedback
