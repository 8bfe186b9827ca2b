// What each part of the quantizer is worth, against what theory says it is.
#include "core/nsq/quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/blas/blas.h"
#include "core/nsq/stream.h"
#include "tests/unit/nsq/test_data.h"

namespace nashswarm::nsq {
namespace {

const bool kSingleThreaded = (blas::UseSingleThreadedBlas(), true);

double Decibels(double ratio) { return 10 * std::log10(ratio); }

// The decibels that `with` gains on `without`, at the size of `bits` a weight, all bytes of the stream counted.
double Gain(const std::vector<float>& weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss, const Settings& with,
            const Settings& without, double bits) {
  const Point a = AtBits(weights, rows, columns, loss, with, bits), b = AtBits(weights, rows, columns, loss, without, bits);
  EXPECT_NEAR(a.bits, bits, 0.01);
  EXPECT_NEAR(b.bits, bits, 0.01);
  return Decibels(b.error / a.error);
}

// The arithmetic mean over the geometric one.
double MeansRatio(const std::vector<float>& values) {
  double sum = 0, logs = 0;
  for (const float v : values) sum += v, logs += std::log(v);
  return sum / static_cast<double>(values.size()) / std::exp(logs / static_cast<double>(values.size()));
}

// 2^(octaves * i / count), shuffled.
std::vector<float> Powers(uint32_t count, double octaves) {
  std::vector<float> powers;
  for (uint32_t i = 0; i < count; ++i) powers.push_back(static_cast<float>(std::exp2(octaves * (i * 7 % count) / count)));
  return powers;
}

// The rate-distortion bound of a normal source is D = 2^-2R: dependent quantization comes within 0.6 dB of it, where the best
// entropy-coded uniform quantizer stays 1.53 dB away.
TEST(QuantizerTest, ComesNearTheBoundOnNormalWeights) {
  constexpr uint32_t kRows = 512, kColumns = 256;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss;
  const Quantizer quantizer(weights.data(), kRows, kColumns, loss, {});
  const Matrix matrix = quantizer.Quantize(0.4 * quantizer.spread()).matrix;
  EXPECT_LT(Decibels(RelativeError(loss, weights, matrix)) + 6.0206 * BitsAWeight(matrix), 0.75);
}

// Entropy-coded trellis quantization takes back about 1 of the 1.53 dB that a uniform quantizer loses at high rate (Fischer
// and Wang 1992); no quantizer takes back more than all. Both go by a price that is right for them, or the other would lose more.
TEST(QuantizerTest, DependentQuantizationGainsNearlyADecibelAtEqualSize) {
  constexpr uint32_t kRows = 512, kColumns = 128;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  for (const double bits : {2.5, 4.0}) {
    const double gain = Gain(weights, kRows, kColumns, {}, {}, {.dependent = false}, bits);
    EXPECT_GT(gain, 0.6) << bits;
    EXPECT_LT(gain, 1.53) << bits;
  }
}

// Inputs of a first-order process of correlation c: what a column's input adds to those after it has the variance 1 - c^2, and
// that is what an error counts for once it is fed forward.
TEST(QuantizerTest, FeedbackGainsThePredictionOfCorrelatedInputs) {
  constexpr uint32_t kRows = 512, kColumns = 128;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  for (const double correlation : {0.5, 0.9}) {
    const MatrixLoss loss{.moment = feedback::Moment::Make(SecondMoment(kColumns, correlation, 0), kColumns, 1e-5)};
    const double gain = Gain(weights, kRows, kColumns, loss, {}, {.feedback = false}, 4.0);
    EXPECT_NEAR(gain, -Decibels(1 - correlation * correlation), 0.4) << correlation;
  }
}

TEST(QuantizerTest, FeedbackDoesNoHarmWhereInputsAreIndependent) {
  constexpr uint32_t kRows = 256, kColumns = 64;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss{.moment = feedback::Moment::Make(SecondMoment(kColumns, 0, 4), kColumns)};
  EXPECT_NEAR(Gain(weights, kRows, kColumns, loss, {}, {.feedback = false}, 3.5), 0, 0.1);
}

// One step for all adds up losses in proportion to the powers, the steps of water-filling give all the same loss, at the same
// bits: the arithmetic mean of the powers against the geometric one, less what scales and tables take in a small matrix.
TEST(QuantizerTest, WaterFillingGainsTheRatioOfTheMeans) {
  constexpr uint32_t kRows = 256, kColumns = 128;
  const std::vector<float> weights = NormalWeights(kRows * kColumns), columns = Powers(kColumns, 6), rows = Powers(kRows, 6);
  const MatrixLoss moment{.moment = feedback::Moment::Make(SecondMoment(kColumns, 0, 6), kColumns, 1e-5)};
  for (const MatrixLoss& loss : {MatrixLoss{.importance = columns}, MatrixLoss{.row_weights = rows}, moment}) {
    const double gain = Gain(weights, kRows, kColumns, loss, {}, {.water_filling = false}, 4.5);
    const double ratio = Decibels(MeansRatio(loss.row_weights.empty() ? columns : rows));  // 2.8
    EXPECT_GT(gain, ratio - 0.8);
    EXPECT_LT(gain, ratio + 0.1);
  }
}

struct Case {
  std::string name;
  MatrixLoss loss;
  Settings settings;
};

std::vector<Case> Cases(uint32_t rows, uint32_t columns) {
  const MatrixLoss moment{.moment = feedback::Moment::Make(SecondMoment(columns, 0.8, 4), columns), .row_weights = Powers(rows, 3)};
  return {{"alike", {}, {}},
          {"importance", {.importance = Powers(columns, 4)}, {}},
          {"moment", moment, {}},
          {"moment, low price", moment, {.price = 0.1}},
          {"moment, plain integers", moment, {.dependent = false}},
          {"moment, one step", moment, {.water_filling = false}},
          {"moment, no feedback", moment, {.feedback = false}},
          {"moment, a sample", moment, {.sample_weights = 8000}}};
}

TEST(QuantizerTest, ThePotentialOfKeptRoundsNeverRises) {
  constexpr uint32_t kRows = 400, kColumns = 96;
  const std::vector<float> weights = LaplaceWeights(kRows * kColumns);
  for (const Case& c : Cases(kRows, kColumns)) {
    const Quantizer quantizer(weights.data(), kRows, kColumns, c.loss, c.settings);
    const double price = c.settings.dependent ? c.settings.price : c.settings.price / 4;
    for (const double step : {0.1, 0.5, 1.5}) {
      const std::vector<Round> rounds = quantizer.Quantize(step * quantizer.spread()).rounds;
      ASSERT_GE(rounds.size(), 2u) << c.name;
      EXPECT_LE(rounds.size(), static_cast<size_t>(c.settings.rounds)) << c.name;
      EXPECT_TRUE(rounds.front().kept);
      const Round* before = nullptr;
      for (const Round& round : rounds) {
        EXPECT_NEAR(round.potential, round.error + price * round.bits, 1e-9 * round.potential) << c.name;
        if (before != nullptr && before->weights == round.weights) {
          EXPECT_EQ(round.kept, round.potential < before->potential) << c.name << ' ' << step;
        }
        if (round.kept) before = &round;
      }
      EXPECT_EQ(before->weights, uint64_t{kRows} * kColumns) << c.name;
      EXPECT_EQ(rounds.front().weights < uint64_t{kRows} * kColumns, c.settings.sample_weights == 8000);
      if (step != 0.5 || rounds.front().weights != before->weights) continue;
      EXPECT_LT(before->potential, 0.999 * rounds.front().potential) << c.name;
    }
  }
}

// The error of a round is that of the matrix that it chose: sum_i row_weight_i e_i H e_i^T with the damped H, in squared steps of
// the mean column. That of feedback is exact.
double DampedLoss(const MatrixLoss& loss, const std::vector<float>& weights, const Matrix& matrix) {
  const Grid& grid = matrix.grid;
  const std::vector<float> decoded = Decode(matrix);
  const feedback::Moment& moment = *loss.moment;
  double sum = 0;
  for (uint32_t r = 0; r < grid.rows; ++r) {
    for (uint32_t i = 0; i < grid.columns; ++i) {
      const size_t at = size_t{r} * grid.columns;
      double product = 0;
      for (uint32_t j = 0; j < grid.columns; ++j) {
        const double h = moment.h()[size_t{i} * grid.columns + j] + (i == j ? moment.added() : 0.0f);
        product += h * (static_cast<double>(weights[at + j]) - static_cast<double>(decoded[at + j]));
      }
      sum += (static_cast<double>(weights[at + i]) - static_cast<double>(decoded[at + i])) * product;
    }
  }
  return sum;
}

TEST(QuantizerTest, TheErrorOfARoundIsTheLossOfWhatItChose) {
  constexpr uint32_t kRows = 300, kColumns = 70;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const double step = 0.4;
  const MatrixLoss alike, moment{.moment = feedback::Moment::Make(SecondMoment(kColumns, 0.8, 4), kColumns)};
  const Quantized plain = Quantizer(weights.data(), kRows, kColumns, alike, {.rounds = 1}).Quantize(step);
  const std::vector<float> decoded = Decode(plain.matrix);
  const double plain_error = Compare(alike, weights.data(), decoded.data(), 0, kRows, kColumns).error;
  EXPECT_NEAR(plain.rounds.back().error * step * step, plain_error, 1e-4 * plain_error);

  double log_scales = 0;
  for (uint32_t c = 0; c < kColumns; ++c) log_scales += std::log2(moment.moment->factor()[size_t{c} * kColumns + c]) / kColumns;
  for (const bool dependent : {false, true}) {
    const Quantized fed = Quantizer(weights.data(), kRows, kColumns, moment, {.dependent = dependent, .rounds = 1}).Quantize(step);
    const double loss = DampedLoss(moment, weights, fed.matrix);
    EXPECT_NEAR(fed.rounds.back().error * step * step * std::exp2(-2 * log_scales), loss, 1e-3 * loss) << dependent;
  }
}

TEST(QuantizerTest, BitsOfARoundAreNearlyThoseOfTheStream) {
  constexpr uint32_t kRows = 512, kColumns = 256;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss;
  for (const double step : {0.2, 0.7}) {
    const Quantized quantized = Quantizer(weights.data(), kRows, kColumns, loss, {.rounds = 1}).Quantize(step);
    const double written = BitsAWeight(quantized.matrix) * kRows * kColumns;
    EXPECT_GT(written, quantized.rounds.back().bits);
    EXPECT_LT(written, 1.01 * quantized.rounds.back().bits + 8 * 400);  // headers, tables, the lanes' states
  }
}

TEST(QuantizerTest, TheStreamHoldsWhatWasChosenAtAnyNumberOfThreads) {
  constexpr uint32_t kRows = 700, kColumns = 512;  // two tiles, of different heights
  const std::vector<float> weights = LaplaceWeights(kRows * kColumns);
  for (Case& c : Cases(kRows, kColumns)) {
    c.settings.rounds = 3;
    const Quantizer one(weights.data(), kRows, kColumns, c.loss, c.settings);
    const Matrix matrix = one.Quantize(0.5 * one.spread()).matrix;
    ASSERT_EQ(matrix.grid.tiles(), 2u);
    const std::string bytes = *Write(matrix, 1);
    const auto stream = Stream::Open({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, kRows, kColumns, "t");
    ASSERT_TRUE(stream.ok()) << stream.status();
    std::vector<float> decoded(weights.size());
    for (uint32_t tile = 0; tile < 2; ++tile) {
      float* to = &decoded[size_t{tile} * matrix.grid.tile_rows() * kColumns];
      ASSERT_TRUE(stream->DecodeTile(tile, coding::Output::kF32, to, kColumns).ok()) << c.name;
    }
    EXPECT_EQ(decoded, Decode(matrix)) << c.name;
    for (const int threads : {2, 3}) {
      c.settings.threads = threads;
      const Quantizer more(weights.data(), kRows, kColumns, c.loss, c.settings);
      EXPECT_EQ(more.spread(), one.spread()) << c.name;
      EXPECT_TRUE(*Write(more.Quantize(0.5 * more.spread()).matrix, threads) == bytes) << c.name << ' ' << threads;
    }
  }
}

TEST(QuantizerTest, AHigherPriceTakesFewerBitsAndMoreError) {
  constexpr uint32_t kRows = 256, kColumns = 64;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss;
  for (const bool dependent : {false, true}) {
    Round before;
    for (const double price : {0.0, 0.2, 0.42, 0.8}) {
      const Settings settings{.dependent = dependent, .price = price, .rounds = 1};
      const Quantized quantized = Quantizer(weights.data(), kRows, kColumns, loss, settings).Quantize(0.5);
      const Round round = quantized.rounds.back();
      if (price > 0) {
        EXPECT_LT(round.bits, before.bits) << price;
        EXPECT_GT(round.error, before.error) << price;
      }
      before = round;
      if (price > 0 || dependent) continue;
      const std::vector<float> decoded = Decode(quantized.matrix);
      for (size_t i = 0; i < decoded.size(); ++i) ASSERT_LE(std::abs(weights[i] - decoded[i]), 0.25001f);  // half a step
    }
  }
}

TEST(QuantizerTest, ColumnsThatCountForNothingBecomeZeros) {
  constexpr uint32_t kRows = 40, kColumns = 24;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  MatrixLoss importance{.importance = std::vector<float>(kColumns, 1.0f)};
  importance.importance[5] = 0;
  std::vector<float> h = SecondMoment(kColumns, 0.5, 1);
  for (uint32_t i = 0; i < kColumns; ++i) h[5 * kColumns + i] = h[i * kColumns + 5] = 0;
  const MatrixLoss moment{.moment = feedback::Moment::Make(h, kColumns)};
  for (const MatrixLoss& loss : {importance, moment}) {
    for (const bool feedback : {true, false}) {
      const Matrix matrix = Quantizer(weights.data(), kRows, kColumns, loss, {.feedback = feedback}).Quantize(0.3).matrix;
      for (uint32_t c : {4u, 5u}) {
        double sum = 0;
        for (uint32_t r = 0; r < kRows; ++r) sum += std::abs(matrix.integers[r * kColumns + c]);
        EXPECT_EQ(sum == 0, c == 5) << feedback;
      }
    }
  }
}

TEST(QuantizerTest, ZerosHaveNoSpreadAndNoStep) {
  const std::vector<float> weights(30 * 7, 0.0f);
  const MatrixLoss loss;
  const Quantizer quantizer(weights.data(), 30, 7, loss, {});
  EXPECT_EQ(quantizer.spread(), 0);
  const Quantized quantized = quantizer.Quantize(1);
  EXPECT_TRUE(quantized.rounds.empty());
  EXPECT_EQ(quantized.matrix.grid.step, 0);
  EXPECT_EQ(Decode(quantized.matrix), weights);
  EXPECT_LT(BitsAWeight(quantized.matrix), 3);
}

TEST(QuantizerTest, OneRowAndOneColumnWork) {
  for (const auto& [rows, columns] : {std::pair<uint32_t, uint32_t>{1, 300}, {300, 1}, {1, 1}, {2, 33}}) {
    const std::vector<float> weights = NormalWeights(size_t{rows} * columns);
    const MatrixLoss loss{.moment = feedback::Moment::Make(SecondMoment(columns, 0.5, 2), columns)};
    const Quantizer quantizer(weights.data(), rows, columns, loss, {});
    EXPECT_LT(RelativeError(loss, weights, quantizer.Quantize(0.1 * quantizer.spread()).matrix), 0.02) << rows << ' ' << columns;
  }
}

}  // namespace
}  // namespace nashswarm::nsq
