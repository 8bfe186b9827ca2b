// Second moments and weights that the feedback tests share. All deterministic.
#ifndef NASHSWARM_TESTS_UNIT_FEEDBACK_TEST_MOMENTS_H_
#define NASHSWARM_TESTS_UNIT_FEEDBACK_TEST_MOMENTS_H_

#include <cmath>
#include <vector>

#include "core/blas/blas.h"
#include "core/feedback/feedback.h"
#include "tests/unit/quant/test_data.h"

namespace nashswarm::feedback {

// As every program does: the rounding of a product must not depend on how threads share it.
inline const bool kSingleThreaded = (blas::UseSingleThreadedBlas(), true);

using quant::Format;
using quant::FormatInfo;

inline std::vector<float> Identity(size_t width) {
  std::vector<float> h(width * width, 0.0f);
  for (size_t i = 0; i < width; ++i) h[i * width + i] = 1.0f;
  return h;
}

// Neighbours correlate: h_ij = rho^|i - j|.
inline std::vector<float> Autoregressive(size_t width, double rho) {
  std::vector<float> h(width * width), powers(width);
  for (size_t i = 0; i < width; ++i) powers[i] = static_cast<float>(std::pow(rho, static_cast<double>(i)));
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = 0; j < width; ++j) h[i * width + j] = powers[i > j ? i - j : j - i];
  }
  return h;
}

// V V^T / rank + diagonal noise of uneven size; without `noise` the rank is what it says.
inline std::vector<float> LowRank(size_t width, size_t rank, float noise, uint32_t seed) {
  quant::Noise random(seed);
  const std::vector<float> v = quant::Generate(width * rank, [&] { return random.Normal(); });
  std::vector<float> h(width * width);
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0.0;
      for (size_t k = 0; k < rank; ++k) sum += static_cast<double>(v[i * rank + k]) * v[j * rank + k];
      h[i * width + j] = h[j * width + i] = static_cast<float>(sum / static_cast<double>(rank));
    }
    h[i * width + i] += noise * std::exp(random.Normal());
  }
  return h;
}

inline std::vector<uint8_t> EncodeFed(Format format, const std::vector<float>& weights, const Moment& moment) {
  const uint64_t rows = weights.size() / moment.width();
  std::vector<uint8_t> out(*quant::EncodedBytes(format, rows, moment.width()));
  EncodeWithFeedback(format, weights.data(), rows, moment, out.data());
  return out;
}

// By EncodeRow, with the moment's diagonal as importance.
inline std::vector<uint8_t> EncodePlain(Format format, const std::vector<float>& weights, const Moment& moment) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < weights.size(); i += moment.width()) {
    const std::vector<uint8_t> row =
        quant::Encode(format, {weights.begin() + i, weights.begin() + i + moment.width()},
                      {moment.diagonal().begin(), moment.diagonal().end()});
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

inline double ErrorOf(Format format, const std::vector<float>& weights, const std::vector<uint8_t>& encoded,
                      const Moment& moment) {
  const std::vector<float> decoded = quant::Decode(format, encoded, weights.size());
  return CompareWithMoment(weights.data(), decoded.data(), weights.size() / moment.width(), moment).error;
}

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_TESTS_UNIT_FEEDBACK_TEST_MOMENTS_H_
