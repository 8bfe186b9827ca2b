#include "core/nsq/quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/nsq/stream.h"

namespace nashswarm::nsq {
namespace {

std::vector<float> NormalWeights(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> weights(count);
  for (float& w : weights) w = normal(random);
  return weights;
}

// The rate-distortion bound of a normal source is D = 2^-2R: dependent quantization comes within 0.6 dB of it, where the best
// entropy-coded uniform quantizer stays 1.53 dB away.
TEST(QuantizerTest, ComesNearTheBoundOnNormalWeights) {
  constexpr uint32_t kRows = 512, kColumns = 256;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss;
  const Quantizer quantizer(weights.data(), kRows, kColumns, loss, {});
  const Quantized quantized = quantizer.Quantize(0.4 * quantizer.spread());
  const auto stream = Write(quantized.matrix, 1);
  ASSERT_TRUE(stream.ok()) << stream.status();
  const std::vector<float> decoded = Decode(quantized.matrix);
  const double bits = 8.0 * static_cast<double>(stream->size()) / static_cast<double>(weights.size());
  const double distortion = Compare(loss, weights.data(), decoded.data(), 0, kRows, kColumns).relative();
  EXPECT_LT(10 * std::log10(distortion) + 6.0206 * bits, 0.75);
}

}  // namespace
}  // namespace nashswarm::nsq
