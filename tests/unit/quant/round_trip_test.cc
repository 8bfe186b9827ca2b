// How well the encoders do against plain references that share no code with them.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "core/base/half.h"
#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

constexpr double kCodebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct Shape {
  Format format;
  int size;        // weights that share a scale
  double lo, hi;   // levels; the codebook's ends for the IQ4 formats
  bool minimum;    // has a minimum beside the scale
  double slack;    // our error at most this times the brute-force error, which has unrounded scales
};

// The brute force does not round scales, so the slack also pays for six- and four-bit ones; Q8_0 has the finest grid
// and the fewest first guesses.
const Shape kShapes[] = {
    {Format::kQ8_0, 32, -128, 127, false, 1.12},   {Format::kQ5_0, 32, -16, 15, false, 1.02},
    {Format::kQ4_0, 32, -8, 7, false, 1.02},       {Format::kIQ4_NL, 32, -127, 113, false, 1.01},
    {Format::kQ6_K, 16, -32, 31, false, 1.04},     {Format::kQ3_K, 16, -4, 3, false, 1.02},
    {Format::kIQ4_XS, 32, -127, 113, false, 1.03}, {Format::kQ5_K, 32, 0, 31, true, 0.965},
    {Format::kQ4_K, 32, 0, 15, true, 0.965},       {Format::kQ2_K, 16, 0, 3, true, 1.035},
    {Format::kQ5_1, 32, 0, 31, true, 0.965},       {Format::kQ4_1, 32, 0, 15, true, 0.955},
};

double Nearest(const Shape& shape, double t) {
  if (shape.format != Format::kIQ4_NL && shape.format != Format::kIQ4_XS) {
    return std::clamp(std::nearbyint(t), shape.lo, shape.hi);
  }
  double best = kCodebook[0];
  for (double level : kCodebook) {
    if (std::fabs(level - t) < std::fabs(best - t)) best = level;
  }
  return best;
}

double Error(const Shape& shape, const float* x, const float* w, double scale, double min) {
  double sum = 0.0;
  for (int i = 0; i < shape.size; ++i) {
    const double e = x[i] + min - scale * Nearest(shape, (x[i] + min) / scale);
    sum += (w == nullptr ? 1.0 : w[i]) * e * e;
  }
  return sum;
}

// Least error of a block over a fine grid of scales (of both signs), or of scales and minima.
double BruteForce(const Shape& shape, const float* x, const float* w) {
  double best = std::numeric_limits<double>::infinity();
  const auto [low, high] = std::minmax_element(x, x + shape.size);
  if (shape.minimum) {
    const double lo = std::min(*low, 0.0f), range = *high - lo;
    for (int a = 0; a <= 24; ++a) {
      for (int b = 0; b <= 24; ++b) {
        const double bottom = lo + range * 0.012 * a, top = *high - range * 0.012 * b;
        best = std::min(best, Error(shape, x, w, (top - bottom) / shape.hi, std::max(-bottom, 0.0)));
      }
    }
    return best;
  }
  const double extreme = std::max(-*low, *high);
  for (int k = 0; k <= 200; ++k) {
    const double scale = extreme / shape.hi * (0.5 + 0.003 * k);
    best = std::min({best, Error(shape, x, w, scale, 0.0), Error(shape, x, w, -scale, 0.0)});
  }
  return best;
}

double BruteForceRow(const Shape& shape, const std::vector<float>& row, const std::vector<float>& importance) {
  double sum = 0.0;
  for (size_t i = 0; i < row.size(); i += shape.size) {
    sum += BruteForce(shape, row.data() + i, importance.empty() ? nullptr : importance.data() + i);
  }
  return sum;
}

TEST(QuantRoundTripTest, ErrorIsNearBruteForce) {
  const std::vector<float> row = NormalRow(2048, 1), importance = Importance(2048, 2);
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(InfoOf(shape.format).name);
    const double ours = RoundTripError(shape.format, row), best = BruteForceRow(shape, row, {});
    EXPECT_LE(ours, shape.slack * best) << ours / best;
    const double weighted = RoundTripError(shape.format, row, importance, importance);
    const double best_weighted = BruteForceRow(shape, row, importance);
    const double more_slack = shape.format == Format::kQ8_0 ? 0.10 : 0.02;
    EXPECT_LE(weighted, (shape.slack + more_slack) * best_weighted) << weighted / best_weighted;
  }
}

TEST(QuantRoundTripTest, ErrorIsNearBruteForceOnHeavyTails) {
  const std::vector<float> row = HeavyTailedRow(2048, 3);
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(InfoOf(shape.format).name);
    const double ours = RoundTripError(shape.format, row), best = BruteForceRow(shape, row, {});
    EXPECT_LE(ours, (shape.slack + 0.035) * best) << ours / best;
  }
}

// More bits, less error: by about 4 times per bit for a good encoder of normal weights.
TEST(QuantRoundTripTest, MoreBitsLoseLess) {
  const std::vector<float> row = NormalRow(4096, 4);
  const auto error = [&](Format format) { return RoundTripError(format, row); };
  EXPECT_LT(2.0 * error(Format::kQ3_K), error(Format::kQ2_K));
  EXPECT_LT(2.0 * error(Format::kQ4_K), error(Format::kQ3_K));
  EXPECT_LT(3.0 * error(Format::kQ5_K), error(Format::kQ4_K));
  EXPECT_LT(error(Format::kQ4_1), error(Format::kQ4_K));
  EXPECT_LT(error(Format::kQ5_1), error(Format::kQ5_K));
  EXPECT_LT(3.0 * error(Format::kQ6_K), error(Format::kQ5_K));
  EXPECT_LT(8.0 * error(Format::kQ8_0), error(Format::kQ6_K));
  EXPECT_LT(100.0 * error(Format::kF16), error(Format::kQ8_0));
  EXPECT_EQ(error(Format::kF32), 0.0);
}

TEST(QuantRoundTripTest, ImportanceIsRespected) {
  const std::vector<float> row = NormalRow(2048, 5), importance = Importance(2048, 6);
  for (const FormatInfo& info : BlockFormats()) {
    SCOPED_TRACE(info.name);
    const double told = RoundTripError(info.format, row, importance, importance);
    const double untold = RoundTripError(info.format, row, {}, importance);
    // Of the few scales of MXFP4 mostly one is the best for any importance.
    EXPECT_LT(told, (info.format == Format::kMXFP4 ? 1.0 : 0.97) * untold);
    EXPECT_GE(RoundTripError(info.format, row, importance, {}), RoundTripError(info.format, row));
  }
}

TEST(QuantRoundTripTest, OnlyRelativeImportanceMatters) {
  const std::vector<float> row = NormalRow(1024, 10);
  std::vector<float> importance = Importance(1024, 11), scaled = importance;
  for (float& w : scaled) w *= 0x1p-60f;
  for (const FormatInfo& info : BlockFormats()) {
    EXPECT_EQ(Encode(info.format, row, importance), Encode(info.format, row, scaled)) << info.name;
  }
  const std::vector<float> zero(1024, 0.0f);
  for (const FormatInfo& info : BlockFormats()) {
    EXPECT_EQ(Encode(info.format, row, zero), Encode(info.format, row)) << info.name;
  }
}

// A weight that alone counts is stored almost exactly, whatever its neighbours lose.
TEST(QuantRoundTripTest, TheOneImportantWeightIsKept) {
  const std::vector<float> row = NormalRow(256, 12);
  std::vector<float> importance(256, 0.0f);
  importance[37] = 1.0f;
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<float> decoded = Decode(info.format, Encode(info.format, row, importance), 256);
    EXPECT_NEAR(decoded[37], row[37], 2 * LeastStep(info.format) * std::fabs(row[37])) << info.name;
  }
}

TEST(QuantRoundTripTest, SameBytesFromEveryThread) {
  const std::vector<float> row = HeavyTailedRow(4096, 13), importance = Importance(4096, 14);
  for (const FormatInfo& info : AllFormats()) {
    const std::vector<uint8_t> expected = Encode(info.format, row, importance);
    std::vector<std::vector<uint8_t>> got(4);
    std::vector<std::thread> threads;
    for (auto& bytes : got) threads.emplace_back([&] { bytes = Encode(info.format, row, importance); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& bytes : got) EXPECT_EQ(bytes, expected) << info.name;
  }
}

// Blocks are independent: a row's bytes are those of its parts.
TEST(QuantRoundTripTest, RowsEncodeAsTheirSuperBlocks) {
  const std::vector<float> row = HeavyTailedRow(256 * 7, 15);
  for (const FormatInfo& info : AllFormats()) {
    std::vector<uint8_t> parts;
    for (size_t i = 0; i < row.size(); i += 256) {
      const auto part = Encode(info.format, std::vector<float>(row.begin() + i, row.begin() + i + 256));
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_EQ(Encode(info.format, row), parts) << info.name;
  }
}

// The conversions of plain.cc against core/base/half.h, but saturating where those go to infinity.
TEST(QuantRoundTripTest, HalfAndBFloat16RoundLikeTheReference) {
  std::vector<float> row;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 10007) {
    row.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  for (uint32_t half = 0; half < 0x7bff; ++half) {  // ties and their neighbours
    const float tie = 0.5f * (HalfToFloat(static_cast<uint16_t>(half)) + HalfToFloat(static_cast<uint16_t>(half + 1)));
    row.insert(row.end(), {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e9f)});
  }
  row.insert(row.end(), {65504.0f, 65519.9f, 65520.0f, -65520.0f, 3.4028235e38f, -3.4028235e38f});
  const std::vector<uint8_t> half = Encode(Format::kF16, row), bfloat = Encode(Format::kBF16, row);
  for (size_t i = 0; i < row.size(); ++i) {
    uint16_t want_half = FloatToHalf(row[i]), want_bfloat = FloatToBFloat16(row[i]);
    if ((want_half & 0x7fff) == 0x7c00) want_half--;
    if ((want_bfloat & 0x7fff) == 0x7f80) want_bfloat--;
    ASSERT_EQ(half[2 * i] | half[2 * i + 1] << 8, want_half) << row[i];
    ASSERT_EQ(bfloat[2 * i] | bfloat[2 * i + 1] << 8, want_bfloat) << row[i];
  }
}

}  // namespace
}  // namespace nashswarm::quant
