// Weights and losses to quantize in tests.
#ifndef NASHSWARM_TESTS_UNIT_NSQ_TEST_DATA_H_
#define NASHSWARM_TESTS_UNIT_NSQ_TEST_DATA_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/nsq/column.h"
#include "core/nsq/quantizer.h"
#include "core/nsq/stream.h"

namespace nashswarm::nsq {

template <class Distribution>
std::vector<float> Weights(size_t count, Distribution distribution, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<float> weights(count);
  for (float& w : weights) w = distribution(random);
  return weights;
}

inline std::vector<float> NormalWeights(size_t count, unsigned seed = 1) {
  return Weights(count, std::normal_distribution<float>(), seed);
}

inline std::vector<float> LaplaceWeights(size_t count) {
  std::mt19937 random(2);
  std::exponential_distribution<float> magnitude;
  std::vector<float> weights(count);
  for (float& w : weights) w = magnitude(random) * (random() % 2 == 0 ? 1.0f : -1.0f);
  return weights;
}

// A second moment, row by row: neighbours correlate and powers differ by a factor of 2^octaves.
inline std::vector<float> SecondMoment(uint32_t width, double correlation, double octaves) {
  std::vector<float> h(size_t{width} * width);
  const auto amplitude = [&](uint32_t i) { return std::exp2(0.5 * octaves * (i * 7 % width) / width); };
  for (uint32_t i = 0; i < width; ++i) {
    for (uint32_t j = 0; j < width; ++j) {
      const double distance = std::abs(static_cast<double>(i) - static_cast<double>(j));
      h[size_t{i} * width + j] = static_cast<float>(amplitude(i) * amplitude(j) * std::pow(correlation, distance));
    }
  }
  return h;
}

inline double BitsAWeight(const Matrix& matrix) {
  const auto stream = Write(matrix, 1);
  return stream.ok() ? 8.0 * static_cast<double>(stream->size()) / static_cast<double>(matrix.integers.size()) : 1e9;
}

inline double RelativeError(const MatrixLoss& loss, const std::vector<float>& weights, const Matrix& matrix) {
  const std::vector<float> decoded = Decode(matrix);
  return Compare(loss, weights.data(), decoded.data(), 0, matrix.grid.rows, matrix.grid.columns).relative();
}

struct Point {
  double bits = 0, error = 0;
};

// The step relative to the spread that takes so many bits a weight, and what it reaches.
inline Point AtBits(const std::vector<float>& weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss,
                    const Settings& settings, double bits) {
  const Quantizer quantizer(weights.data(), rows, columns, loss, settings);
  double low = 1e-3, high = 10;
  Point point;
  for (int i = 0; i < 14; ++i) {
    const double step = std::sqrt(low * high);
    const Matrix matrix = quantizer.Quantize(step * quantizer.spread()).matrix;
    point = {BitsAWeight(matrix), RelativeError(loss, weights, matrix)};
    (point.bits > bits ? low : high) = step;
  }
  return point;
}

// Calls body(name) with the plain kernels and with those of every instruction set of this machine.
template <class Body>
void OnEveryColumnKernel(Body body) {
  ForceScalarColumns(true);
  body("scalar");
  ForceScalarColumns(false);
  const int64_t targets = ColumnTargets();
  for (int64_t rest = targets; rest != 0; rest &= rest - 1) {
    UseColumnTarget(rest & -rest);
    body("target " + std::to_string(rest & -rest));
  }
  UseColumnTarget(0);
}

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_TESTS_UNIT_NSQ_TEST_DATA_H_
