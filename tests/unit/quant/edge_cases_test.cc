// Rows that break careless encoders: nothing infinite or NaN comes out, and what a format can hold it does hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/quant/blocks.h"
#include "core/base/half.h"
#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

TEST(QuantEdgeCasesTest, FiniteInFiniteOut) {
  std::vector<float> sparse(512, 0.0f);
  for (size_t i = 0; i < sparse.size(); i += 5) sparse[i] = 1e20f;
  for (const NamedRow& row : AwkwardRows(512)) {
    for (const FormatInfo& info : AllFormats()) {
      for (const std::vector<float>& importance : {std::vector<float>{}, sparse}) {
        const std::vector<float> decoded = Decode(info.format, Encode(info.format, row.weights, importance), 512);
        EXPECT_TRUE(std::all_of(decoded.begin(), decoded.end(), [](float x) { return std::isfinite(x); }))
            << row.name << " in " << info.name;
      }
    }
  }
}

// Not allowed, but it must not be undefined behaviour either: the block is spoilt, its neighbours are not.
TEST(QuantEdgeCasesTest, NotFiniteWeightsSpoilOnlyTheirBlock) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    std::vector<float> row = NormalRow(768, 11);
    const std::vector<float> clean = row;
    row[300] = bad;
    for (const FormatInfo& info : BlockFormats()) {
      const std::vector<uint8_t> encoded = Encode(info.format, row), expected = Encode(info.format, clean);
      const size_t super = 256 / info.block_weights * info.block_bytes;  // bytes of 256 weights
      EXPECT_TRUE(std::equal(encoded.begin(), encoded.begin() + super, expected.begin())) << info.name;
      EXPECT_TRUE(std::equal(encoded.begin() + 2 * super, encoded.end(), expected.begin() + 2 * super)) << info.name;
      for (float x : Decode(info.format, encoded, 768)) ASSERT_TRUE(std::isfinite(x)) << info.name;
    }
  }
}

// Encoding never does worse than storing zeros, and much better wherever a format's scales reach.
TEST(QuantEdgeCasesTest, NoWorseThanZeros) {
  for (const NamedRow& row : AwkwardRows(512)) {
    const double zeros = SquaredError(row.weights, std::vector<float>(512, 0.0f));
    for (const FormatInfo& info : AllFormats()) {
      EXPECT_LE(RoundTripError(info.format, row.weights), zeros) << row.name << " in " << info.name;
    }
  }
}

TEST(QuantEdgeCasesTest, ZerosStayZeros) {
  for (const FormatInfo& info : AllFormats()) {
    for (float x : Decode(info.format, Encode(info.format, std::vector<float>(256, 0.0f)), 256)) {
      ASSERT_EQ(x, 0.0f) << info.name;
    }
  }
}

TEST(QuantEdgeCasesTest, ConstantsSurvive) {
  for (float value : {0.7f, -0.7f, 1.0f, -123.0f, 1e-3f, 5e4f}) {
    for (const FormatInfo& info : AllFormats()) {
      for (float x : Decode(info.format, Encode(info.format, std::vector<float>(256, value)), 256)) {
        ASSERT_NEAR(x, value, LeastStep(info.format) * std::fabs(value)) << info.name;
      }
    }
  }
}

TEST(QuantEdgeCasesTest, SingleOutlierIsKeptAndItsZerosToo) {
  std::vector<float> row(256, 0.0f);
  row[77] = -5.0f;
  for (const FormatInfo& info : AllFormats()) {
    const std::vector<float> decoded = Decode(info.format, Encode(info.format, row), 256);
    for (size_t i = 0; i < row.size(); ++i) {
      // The IQ4 codebook has no zero; its nearest level is 1 of 127.
      ASSERT_NEAR(decoded[i], row[i], i == 77 ? 5.0f * LeastStep(info.format) : 0.05f) << info.name << " " << i;
    }
  }
}

// Weights far from zero but close together: a format with minima covers just their range when all are above zero, with
// a negative dmin.
TEST(QuantEdgeCasesTest, MinimaServePositiveOnlySuperBlocks) {
  Noise noise(3);
  const std::vector<float> row = Generate(512, [&] { return 1.0f + 0.01f * noise.Normal(); });
  const double plain = RoundTripError(Format::kQ4_0, row);
  EXPECT_LT(RoundTripError(Format::kQ4_K, row), 0.1 * plain);
  EXPECT_LT(RoundTripError(Format::kQ5_K, row), 0.1 * plain);
  EXPECT_LT(RoundTripError(Format::kQ4_1, row), 0.1 * plain);
  EXPECT_LT(RoundTripError(Format::kQ5_1, row), 0.1 * plain);
  const std::vector<uint8_t> encoded = Encode(Format::kQ4_K, row);
  EXPECT_LT(HalfToFloat(reinterpret_cast<const BlockQ4_K*>(encoded.data())->dmin), 0.0f);
}

TEST(QuantEdgeCasesTest, HugeWeightsSaturate) {
  const std::vector<float> row(256, 1e38f);
  const std::vector<float> q8 = Decode(Format::kQ8_0, Encode(Format::kQ8_0, row), 256);
  for (float x : q8) EXPECT_EQ(x, 65504.0f * 127.0f);
  for (float x : Decode(Format::kF16, Encode(Format::kF16, row), 256)) EXPECT_EQ(x, 65504.0f);
  const std::vector<float> greatest(256, std::numeric_limits<float>::max());
  for (float x : Decode(Format::kBF16, Encode(Format::kBF16, greatest), 256)) EXPECT_EQ(x, 0x1.fep127f);
  // Within reach of the scales nothing saturates.
  std::vector<float> large = NormalRow(256, 4);
  for (float& x : large) x *= 5e5f;
  const auto expect_within_reach = [](const FormatInfo& info, const std::vector<float>& row) {
    const double zeros = SquaredError(row, std::vector<float>(256, 0.0f));
    EXPECT_LT(RoundTripError(info.format, row), 0.12 * zeros) << info.name;
  };
  for (const FormatInfo& info : BlockFormats()) expect_within_reach(info, large);
  for (float& x : large) x *= 10.0f;
  for (const FormatInfo& info : BlockFormats()) {
    const bool least_is_a_half = info.format == Format::kQ4_1 || info.format == Format::kQ5_1;
    if (!least_is_a_half) expect_within_reach(info, large);
  }
}

// Scales below the least half must round up, not to zero: the weights are then still representable, if coarsely.
TEST(QuantEdgeCasesTest, SmallWeightsDoNotVanish) {
  std::vector<float> row = NormalRow(256, 5);
  for (float& x : row) x *= 1e-4f;  // around 2e-6, so that most scales are half subnormals or below
  const double zeros = SquaredError(row, std::vector<float>(256, 0.0f));
  for (const FormatInfo& info : BlockFormats()) {
    EXPECT_LT(RoundTripError(info.format, row), 0.15 * zeros) << info.name;
  }
}

// A super-block whose neighbours in the row have all the importance still gets a sane encoding.
TEST(QuantEdgeCasesTest, UnimportantBlocksAreStillEncoded) {
  const std::vector<float> row = NormalRow(1024, 6);
  std::vector<float> importance(1024, 0.0f);
  std::fill(importance.begin(), importance.begin() + 256, 1.0f);
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<float> decoded = Decode(info.format, Encode(info.format, row, importance), 1024);
    double error = 0.0, zeros = 0.0;
    for (size_t i = 256; i < row.size(); ++i) {
      error += (row[i] - decoded[i]) * (row[i] - decoded[i]);
      zeros += row[i] * row[i];
    }
    EXPECT_LT(error, 0.12 * zeros) << info.name;
  }
}

}  // namespace
}  // namespace nashswarm::quant
