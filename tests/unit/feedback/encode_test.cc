#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/feedback/panel.h"
#include "core/feedback/product.h"
#include "tests/unit/feedback/test_moments.h"

namespace nashswarm::feedback {
namespace {

using quant::BlockFormats;
using quant::Decode;
using quant::HeavyTailedRow;
using quant::NormalRow;

std::vector<uint8_t> EncodeInSweeps(Format format, const std::vector<float>& weights, const Moment& moment,
                                    int sweeps) {
  Panel panel(format, moment, sweeps);
  const auto rows = static_cast<int>(weights.size() / moment.width());
  std::vector<uint8_t> out(*quant::EncodedBytes(format, rows, moment.width()));
  panel.Encode(weights.data(), rows, out.data());
  return out;
}

// Nothing to feed: the first pass is EncodeRow with all weights alike, to the byte.
TEST(FeedbackEncodeTest, WithoutCorrelationTheFirstPassIsEncodeRow) {
  const auto moment = Moment::Make(Identity(512), 512);
  const std::vector<float> weights = HeavyTailedRow(20 * 512, 1);
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<uint8_t> plain = EncodePlain(info.format, weights, *moment);
    EXPECT_EQ(EncodeInSweeps(info.format, weights, *moment, 0), plain) << info.name;
    EXPECT_LE(ErrorOf(info.format, weights, EncodeFed(info.format, weights, *moment), *moment),
              ErrorOf(info.format, weights, plain, *moment))
        << info.name;
  }
}

// At least so much lower than with EncodeRow by the diagonal. Measured: 0.21 to 0.28 of its error, and up to 0.47 for
// the formats with a minimum, whose plain errors already sum to nothing over a block; 0.36 to 0.40 with low rank.
TEST(FeedbackEncodeTest, LowersTheErrorOfEveryBlockFormat) {
  const std::vector<float> weights = NormalRow(40 * 512, 2);
  const auto autoregressive = Moment::Make(Autoregressive(512, 0.9), 512);
  const auto low_rank = Moment::Make(LowRank(512, 64, 0.3f, 3), 512);
  for (const FormatInfo& info : BlockFormats()) {
    const auto ratio = [&](const Moment& moment) {
      return ErrorOf(info.format, weights, EncodeFed(info.format, weights, moment), moment) /
             ErrorOf(info.format, weights, EncodePlain(info.format, weights, moment), moment);
    };
    const double first = ratio(*autoregressive), second = ratio(*low_rank);
    RecordProperty(std::string(info.name), std::to_string(first) + " " + std::to_string(second));
    EXPECT_LT(first, 0.55) << info.name;
    EXPECT_LT(second, 0.60) << info.name;
  }
}

TEST(FeedbackEncodeTest, EverySweepLowersTheError) {
  const std::vector<float> weights = HeavyTailedRow(40 * 512, 4);
  const auto moment = Moment::Make(LowRank(512, 100, 0.2f, 5), 512);
  for (const FormatInfo& info : BlockFormats()) {
    double before = ErrorOf(info.format, weights, EncodeInSweeps(info.format, weights, *moment, 0), *moment);
    for (int sweeps : {1, 2, 4}) {
      const std::vector<uint8_t> encoded = EncodeInSweeps(info.format, weights, *moment, sweeps);
      const double after = ErrorOf(info.format, weights, encoded, *moment);
      EXPECT_LT(after, (sweeps == 1 ? 0.99 : 1.0) * before) << info.name << " " << sweeps;
      before = after;
    }
  }
}

TEST(FeedbackEncodeTest, DecodesToWhatItCountedOn) {
  const auto moment = Moment::Make(LowRank(512, 40, 0.3f, 6), 512);
  const std::vector<float> weights = HeavyTailedRow(33 * 512, 7);
  for (const FormatInfo& info : BlockFormats()) {
    for (int sweeps : {0, 2}) {
      Panel panel(info.format, *moment, sweeps);
      std::vector<uint8_t> out(*quant::EncodedBytes(info.format, 33, 512));
      panel.Encode(weights.data(), 33, out.data());
      const std::vector<float> decoded = Decode(info.format, out, weights.size());
      for (int i = 0; i < 33 * 512; ++i) {
        ASSERT_EQ(decoded[i], panel.DecodedAt(i / 512, i % 512)) << info.name << " " << i;
      }
    }
  }
}

TEST(FeedbackEncodeTest, AnyCutIntoCallsGivesTheSameBytes) {
  const size_t width = 768, rows = 301;
  const auto moment = Moment::Make(LowRank(width, 50, 0.3f, 8), width);
  const std::vector<float> weights = NormalRow(rows * width, 9);
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<uint8_t> whole = EncodeFed(info.format, weights, *moment);
    std::vector<uint8_t> parts;
    for (size_t row = 0, count = 1; row < rows; row += count, count = std::min(3 * count + 1, rows - row)) {
      const std::vector<float> part(weights.begin() + row * width, weights.begin() + (row + count) * width);
      const std::vector<uint8_t> bytes = EncodeFed(info.format, part, *moment);
      parts.insert(parts.end(), bytes.begin(), bytes.end());
    }
    EXPECT_EQ(parts, whole) << info.name;
  }
}

TEST(FeedbackEncodeTest, NarrowAndWideRows) {
  for (size_t width : {32, 96, 4096}) {
    const auto moment = Moment::Make(Autoregressive(width, 0.7), width);
    const std::vector<float> weights = NormalRow(5 * width, 10);
    for (const FormatInfo& info : BlockFormats()) {
      if (!quant::FitsRow(info.format, width)) continue;
      if (width > 1000 && info.format != Format::kQ4_K && info.format != Format::kQ4_0) continue;  // takes its time
      EXPECT_LT(ErrorOf(info.format, weights, EncodeFed(info.format, weights, *moment), *moment),
                0.8 * ErrorOf(info.format, weights, EncodePlain(info.format, weights, *moment), *moment))
          << info.name << " " << width;
    }
  }
}

TEST(FeedbackEncodeTest, DeadInputsCostNothingAndDisturbNothing) {
  std::vector<float> h = Autoregressive(512, 0.9);
  for (size_t i = 0; i < 512; ++i) {
    for (size_t dead : {3, 40, 41, 300}) h[dead * 512 + i] = h[i * 512 + dead] = 0.0f;
  }
  for (size_t i = 0; i < 512; ++i) {
    for (size_t dead = 64; dead < 128; ++dead) h[dead * 512 + i] = h[i * 512 + dead] = 0.0f;  // whole blocks
  }
  const auto moment = Moment::Make(h, 512);
  const std::vector<float> weights = NormalRow(20 * 512, 11);
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<uint8_t> fed = EncodeFed(info.format, weights, *moment);
    EXPECT_LT(ErrorOf(info.format, weights, fed, *moment),
              0.6 * ErrorOf(info.format, weights, EncodePlain(info.format, weights, *moment), *moment))
        << info.name;
    for (float x : Decode(info.format, fed, weights.size())) ASSERT_LT(std::fabs(x), 1.0f) << info.name;
  }
}

TEST(FeedbackEncodeTest, RankDeficientMoments) {
  const std::vector<float> weights = NormalRow(20 * 256, 12);
  for (size_t rank : {1, 5, 100}) {
    const auto moment = Moment::Make(LowRank(256, rank, 0.0f, 13), 256);
    for (const FormatInfo& info : BlockFormats()) {
      const std::vector<uint8_t> fed = EncodeFed(info.format, weights, *moment);
      EXPECT_LT(ErrorOf(info.format, weights, fed, *moment),
                0.5 * ErrorOf(info.format, weights, EncodePlain(info.format, weights, *moment), *moment))
          << info.name << " " << rank;
      for (float x : Decode(info.format, fed, weights.size())) ASSERT_LT(std::fabs(x), 1.0f) << info.name;
    }
  }
}

TEST(FeedbackEncodeTest, AwkwardRowsStayFinite) {
  const auto moment = Moment::Make(Autoregressive(512, 0.9), 512);
  for (const quant::NamedRow& row : quant::AwkwardRows(512)) {
    if (row.name == "greatest float") continue;  // corrections leave the floats
    for (const FormatInfo& info : BlockFormats()) {
      const std::vector<float> decoded = Decode(info.format, EncodeFed(info.format, row.weights, *moment), 512);
      EXPECT_TRUE(std::all_of(decoded.begin(), decoded.end(), [](float x) { return std::isfinite(x); }))
          << row.name << " in " << info.name;
    }
  }
}

TEST(FeedbackEncodeTest, ZerosStayZerosAndConstantsSurvive) {
  const auto moment = Moment::Make(LowRank(256, 20, 0.3f, 14), 256);
  for (const FormatInfo& info : BlockFormats()) {
    const std::vector<float> zeros(3 * 256, 0.0f), constants(3 * 256, 0.7f);
    for (float x : Decode(info.format, EncodeFed(info.format, zeros, *moment), 3 * 256)) {
      ASSERT_EQ(x, 0.0f) << info.name;
    }
    for (float x : Decode(info.format, EncodeFed(info.format, constants, *moment), 3 * 256)) {
      // Errors that make up for each other are on both sides, a step or two of the levels apart: MXFP4 has 0.375, 0.5, 0.75, 1.
      ASSERT_NEAR(x, 0.7f, std::max(0.05f, 1.7f * quant::LeastStep(info.format))) << info.name;
    }
  }
}

TEST(FeedbackEncodeTest, FormatsWithoutBlocksAreRoundedPlainly) {
  const auto moment = Moment::Make(Autoregressive(48, 0.9), 48);
  const std::vector<float> weights = NormalRow(7 * 48, 15);
  for (Format format : {Format::kF32, Format::kF16, Format::kBF16}) {
    EXPECT_EQ(EncodeFed(format, weights, *moment), quant::Encode(format, weights));
  }
}

TEST(FeedbackEncodeTest, NoRowsNoBytes) {
  const auto moment = Moment::Make(Identity(256), 256);
  uint8_t untouched = 77;
  EncodeWithFeedback(Format::kQ4_K, nullptr, 0, *moment, &untouched);
  EXPECT_EQ(untouched, 77);
}

TEST(FeedbackEncodeTest, MarginLeavesRoomForRows) {
  EXPECT_GE(PanelMargin(), 0);
  EXPECT_LE(PanelMargin(), 8);  // for the kernels we know
}

}  // namespace
}  // namespace nashswarm::feedback
