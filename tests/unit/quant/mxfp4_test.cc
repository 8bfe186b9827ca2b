// MXFP4, whose scales are powers of two, against a definition and a search of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

// The elements E2M1, as the specification lists them; in ggml a block is 2^(e - 127) times these.
constexpr double kElements[16] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};
constexpr int kWeights = 32, kBytes = 17;

int CodeAt(const uint8_t* block, int i) { return i < 16 ? block[1 + i] & 15 : block[1 + i - 16] >> 4; }

double Square(double x) { return x * x; }

// Error of a block at the scale 2^power, in elements that are nearest.
double ErrorAt(int power, const float* x, const float* w) {
  double sum = 0.0;
  for (int i = 0; i < kWeights; ++i) {
    double least = std::numeric_limits<double>::infinity();
    for (const double element : kElements) least = std::min(least, Square(x[i] - std::ldexp(element, power)));
    sum += (w == nullptr ? 1.0 : w[i]) * least;
  }
  return sum;
}

double BruteForce(const std::vector<float>& row, const std::vector<float>& importance) {
  double sum = 0.0;
  for (size_t at = 0; at < row.size(); at += kWeights) {
    double least = std::numeric_limits<double>::infinity();
    for (int power = -24; power <= 8; ++power) {
      least = std::min(least, ErrorAt(power, row.data() + at, importance.empty() ? nullptr : importance.data() + at));
    }
    sum += least;
  }
  return sum;
}

TEST(QuantMxfp4Test, DecodesEveryScaleAndCode) {
  for (int e = 0; e < 256; ++e) {
    std::vector<uint8_t> block = {static_cast<uint8_t>(e)};
    for (int i = 0; i < 16; ++i) block.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
    const std::vector<float> row = Decode(Format::kMXFP4, block, kWeights);
    for (int code = 0; code < 16; ++code) {
      const float value = std::ldexp(static_cast<float>(kElements[code]), e - 127);  // infinite from 2^128 on
      EXPECT_EQ(row[code], value) << e << " " << code;
      EXPECT_EQ(row[31 - code], value) << e << " " << code;
      EXPECT_FALSE(std::isnan(row[code]));
    }
  }
}

// Blocks of the format come back as they were, though the encoder may count them at another scale.
TEST(QuantMxfp4Test, WhatCanBeRepresentedIs) {
  Noise noise(1);
  for (int power = -34; power <= 38; ++power) {
    for (int greatest = 1; greatest < 8; ++greatest) {
      const std::vector<float> row = Generate(2 * kWeights, [&] {
        const int code = static_cast<int>(noise.Uniform() * static_cast<float>(greatest + 1));
        return static_cast<float>(std::ldexp(noise.Uniform() < 0.5f ? kElements[code] : -kElements[code], power));
      });
      EXPECT_EQ(Decode(Format::kMXFP4, Encode(Format::kMXFP4, row), row.size()), row) << power << " " << greatest;
      EXPECT_EQ(Decode(Format::kMXFP4, Encode(Format::kMXFP4, row, Importance(row.size(), 2)), row.size()), row) << power << " " << greatest;
    }
  }
}

TEST(QuantMxfp4Test, ErrorIsNearBruteForce) {
  const std::vector<float> normal = NormalRow(4096, 3), heavy = HeavyTailedRow(4096, 4), importance = Importance(4096, 5);
  for (const std::vector<float>& row : {normal, heavy}) {
    const double ours = RoundTripError(Format::kMXFP4, row), best = BruteForce(row, {});
    EXPECT_LE(ours, 1.001 * best) << ours / best;
    const double weighted = RoundTripError(Format::kMXFP4, row, importance, importance), best_weighted = BruteForce(row, importance);
    EXPECT_LE(weighted, 1.005 * best_weighted) << weighted / best_weighted;
  }
}

// A zero block is all zero bytes, as ggml has it, and no weight is stored as minus zero.
TEST(QuantMxfp4Test, ZerosHaveOneCode) {
  std::vector<float> zeros(2 * kWeights, 0.0f);
  zeros[5] = -0.0f;
  EXPECT_EQ(Encode(Format::kMXFP4, zeros), std::vector<uint8_t>(2 * kBytes, 0));
  for (const NamedRow& row : AwkwardRows(256)) {
    const std::vector<uint8_t> encoded = Encode(Format::kMXFP4, row.weights);
    for (size_t at = 0; at < encoded.size(); at += kBytes) {
      for (int i = 0; i < kWeights; ++i) EXPECT_NE(CodeAt(&encoded[at], i), 8) << row.name;
    }
  }
}

TEST(QuantMxfp4Test, HugeWeightsSaturateAndTinyOnesVanish) {
  const auto decoded = [](float value) {
    const std::vector<float> row = Decode(Format::kMXFP4, Encode(Format::kMXFP4, std::vector<float>(kWeights, value)), kWeights);
    for (const float x : row) EXPECT_EQ(x, row[0]) << value;
    return row[0];
  };
  EXPECT_EQ(decoded(0x1p40f), 0x1p40f);
  EXPECT_EQ(decoded(1e20f), 0x1.8p40f);
  EXPECT_EQ(decoded(-std::numeric_limits<float>::max()), -0x1.8p40f);
  EXPECT_EQ(decoded(-0x1p-36f), -0x1p-36f);
  EXPECT_EQ(decoded(0x1p-38f), 0.0f);
  EXPECT_EQ(decoded(1e-40f), 0.0f);
}

// Not allowed, but not undefined either.
TEST(QuantMxfp4Test, NotANumberIsTheLeastWeightOfItsBlock) {
  std::vector<float> row(kWeights, 0.0f);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  for (const float x : Decode(Format::kMXFP4, Encode(Format::kMXFP4, row), kWeights)) EXPECT_TRUE(std::isfinite(x));
}

}  // namespace
}  // namespace nashswarm::quant
