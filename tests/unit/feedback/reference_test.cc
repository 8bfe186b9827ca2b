// Against the method as a textbook has it: plain loops in double precision that share no code with the encoder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/half.h"
#include "core/feedback/panel.h"
#include "tests/unit/feedback/test_moments.h"

namespace nashswarm::feedback {
namespace {

using Matrix = std::vector<std::vector<double>>;

// Gauss-Jordan; good enough for a damped moment.
Matrix InverseOf(Matrix a) {
  const size_t n = a.size();
  Matrix b(n, std::vector<double>(n, 0.0));
  for (size_t i = 0; i < n; ++i) b[i][i] = 1.0;
  for (size_t p = 0; p < n; ++p) {
    const double pivot = a[p][p];
    for (size_t j = 0; j < n; ++j) a[p][j] /= pivot, b[p][j] /= pivot;
    for (size_t i = 0; i < n; ++i) {
      const double factor = a[i][p];
      if (i == p || factor == 0.0) continue;
      for (size_t j = 0; j < n; ++j) a[i][j] -= factor * a[p][j], b[i][j] -= factor * b[p][j];
    }
  }
  return b;
}

Matrix Damped(const Moment& moment) {
  const size_t n = moment.width();
  Matrix h(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) h[i][j] = moment.h()[i * n + j] + (i == j ? moment.added() : 0.0);
  }
  return h;
}

// The values that weight i of an encoded block can take, from the format's own scales, lowest level first.
std::vector<double> ValuesAt(Format format, const uint8_t* block, int i) {
  const auto half = [&](int at) -> double {
    return HalfToFloat(static_cast<uint16_t>(block[at] | block[at + 1] << 8));
  };
  static constexpr double kIQ4[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  static constexpr double kE2M1[] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
  std::vector<double> values;
  const auto grid = [&](int lo, int hi, double scale, double min) {
    for (int q = lo; q <= hi; ++q) values.push_back(scale * q - min);
  };
  switch (format) {
    case Format::kQ8_0: grid(-128, 127, half(0), 0.0); break;
    case Format::kQ5_0: grid(-16, 15, half(0), 0.0); break;
    case Format::kQ4_0: grid(-8, 7, half(0), 0.0); break;
    case Format::kQ5_1: grid(0, 31, half(0), -half(2)); break;
    case Format::kQ4_1: grid(0, 15, half(0), -half(2)); break;
    case Format::kQ6_K: grid(-32, 31, half(208) * static_cast<int8_t>(block[192 + i / 16]), 0.0); break;
    case Format::kQ2_K: grid(0, 3, half(80) * (block[i / 16] & 15), half(82) * (block[i / 16] >> 4)); break;
    case Format::kMXFP4:
      for (double level : kE2M1) values.push_back(std::ldexp(level, block[0] - 128));
      break;
    default:
      for (double level : kIQ4) values.push_back(half(0) * level);  // IQ4_NL
  }
  return values;
}

const Format kFormats[] = {Format::kQ8_0, Format::kQ5_0,   Format::kQ4_0,  Format::kQ5_1, Format::kQ4_1,
                           Format::kQ6_K, Format::kIQ4_NL, Format::kMXFP4, Format::kQ2_K};

double NearestOf(const std::vector<double>& values, double w) {
  return *std::min_element(values.begin(), values.end(),
                           [w](double a, double b) { return std::fabs(a - w) < std::fabs(b - w); });
}

// Optimal brain surgeon, one weight at a time: after each rounding the inverse loses that weight's row and column, and
// the weights that are left make up for the error.
std::vector<double> Textbook(Format format, const float* weights, const uint8_t* encoded, Matrix inverse) {
  const FormatInfo& info = quant::InfoOf(format);
  const size_t n = inverse.size();
  std::vector<double> w(weights, weights + n);
  for (size_t j = 0; j < n; ++j) {
    const uint8_t* block = encoded + j / info.block_weights * info.block_bytes;
    const double rounded = NearestOf(ValuesAt(format, block, static_cast<int>(j % info.block_weights)), w[j]);
    const double error = (w[j] - rounded) / inverse[j][j];
    for (size_t k = j + 1; k < n; ++k) w[k] -= error * inverse[j][k];
    for (size_t i = j + 1; i < n; ++i) {
      const double factor = inverse[i][j] / inverse[j][j];
      for (size_t k = j + 1; k < n; ++k) inverse[i][k] -= factor * inverse[j][k];
    }
    w[j] = rounded;
  }
  return w;
}

TEST(FeedbackReferenceTest, FirstPassIsTheTextbooks) {
  constexpr size_t kWidth = 512;  // two slabs
  constexpr int kRows = 5;
  const auto moment = Moment::Make(LowRank(kWidth, 40, 0.3f, 1), kWidth);
  const Matrix inverse = InverseOf(Damped(*moment));
  const std::vector<float> weights = quant::HeavyTailedRow(kRows * kWidth, 2);
  for (Format format : kFormats) {
    Panel panel(format, *moment, 0);
    const size_t row_bytes = *quant::EncodedBytes(format, 1, kWidth);
    std::vector<uint8_t> out(kRows * row_bytes);
    panel.Encode(weights.data(), kRows, out.data());
    int unlike = 0;
    for (int row = 0; row < kRows; ++row) {
      const std::vector<double> expected =
          Textbook(format, weights.data() + row * kWidth, out.data() + row * row_bytes, inverse);
      const std::vector<float> decoded =
          quant::Decode(format, {out.begin() + row * row_bytes, out.begin() + (row + 1) * row_bytes}, kWidth);
      bool same = true;
      for (size_t j = 0; j < kWidth; ++j) {
        same = same && std::fabs(decoded[j] - expected[j]) <= 1e-5 * std::fabs(expected[j]) + 1e-9;
      }
      unlike += !same;
    }
    // Single precision may decide a tie the other way, rarely, and all that follows in that row.
    EXPECT_LE(unlike, 1) << quant::InfoOf(format).name;
  }
}

// After many sweeps no level can move to any other value and lower the error.
TEST(FeedbackReferenceTest, RefinementEndsWhereNoLevelHelps) {
  constexpr size_t kWidth = 512;
  constexpr int kRows = 4;
  const auto moment = Moment::Make(LowRank(kWidth, 40, 0.3f, 3), kWidth);
  const Matrix h = Damped(*moment);
  const std::vector<float> weights = quant::NormalRow(kRows * kWidth, 4);
  for (Format format : kFormats) {
    const FormatInfo& info = quant::InfoOf(format);
    Panel panel(format, *moment, 100);
    const size_t row_bytes = *quant::EncodedBytes(format, 1, kWidth);
    std::vector<uint8_t> out(kRows * row_bytes);
    panel.Encode(weights.data(), kRows, out.data());
    const std::vector<float> decoded = quant::Decode(format, out, weights.size());
    for (int row = 0; row < kRows; ++row) {
      std::vector<double> e(kWidth), g(kWidth, 0.0);
      for (size_t j = 0; j < kWidth; ++j) {
        e[j] = static_cast<double>(weights[row * kWidth + j]) - decoded[row * kWidth + j];
      }
      double total = 0.0;
      for (size_t i = 0; i < kWidth; ++i) {
        for (size_t j = 0; j < kWidth; ++j) g[i] += h[i][j] * e[j];
        total += e[i] * g[i];
      }
      for (size_t j = 0; j < kWidth; ++j) {
        const uint8_t* block = out.data() + row * row_bytes + j / info.block_weights * info.block_bytes;
        for (double value : ValuesAt(format, block, static_cast<int>(j % info.block_weights))) {
          const double step = value - decoded[row * kWidth + j];
          EXPECT_GT(step * (step * h[j][j] - 2.0 * g[j]), -1e-5 * total) << info.name << " weight " << j;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nashswarm::feedback
