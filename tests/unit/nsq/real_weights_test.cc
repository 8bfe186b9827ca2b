// The attention matrices of GPT-2, which have outliers: against what the best plain quantizer with an ideal entropy coder does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/checkpoint/checkpoint.h"
#include "core/nsq/quantizer.h"
#include "core/nsq/stream.h"

namespace nashswarm::nsq {
namespace {

constexpr double kBits = 2.95;

double SignalToNoise(const std::vector<float>& weights, const std::vector<float>& decoded) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    error += std::pow(static_cast<double>(weights[i]) - decoded[i], 2);
    energy += static_cast<double>(weights[i]) * weights[i];
  }
  return 10 * std::log10(energy / error);
}

// The finest step, to a thousandth, at which `bits_of` is at most kBits.
template <typename BitsOf>
double StepAt(double coarsest, BitsOf bits_of) {
  double low = coarsest / 64, high = coarsest;
  while (high / low > 1.001) {
    const double middle = std::sqrt(low * high);
    (bits_of(middle) > kBits ? low : high) = middle;
  }
  return high;
}

// A uniform quantizer whose integers cost their entropy and not a bit more.
double IdealUniform(const std::vector<float>& weights, double spread) {
  const auto entropy = [&](double step) {
    std::map<long, double> counts;
    for (const float w : weights) counts[std::lrint(w / step)] += 1;
    double bits = 0;
    for (const auto& [k, count] : counts) bits -= count * std::log2(count / static_cast<double>(weights.size()));
    return bits / static_cast<double>(weights.size());
  };
  const double step = StepAt(4 * spread, entropy);
  std::vector<float> decoded;
  for (const float w : weights) decoded.push_back(static_cast<float>(static_cast<double>(std::lrint(w / step)) * step));
  return SignalToNoise(weights, decoded);
}

TEST(RealWeightsTest, AttentionMatricesBeatAnIdealUniformQuantizer) {
  const char* source = std::getenv("NASHSWARM_SOURCE_DIR");
  const std::string directory = source == nullptr ? "" : std::string(source) + "/../shared/models/gpt2-124m-attn";
  if (directory.empty() || !IsDirectory(directory)) GTEST_SKIP() << "SKIPPED: no GPT-2 attention matrices here";
  const auto checkpoint = checkpoint::Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const checkpoint::SourceTensor& tensor : (*checkpoint)->tensors()) {
    const auto rows = static_cast<uint32_t>(tensor.shape.at(0)), columns = static_cast<uint32_t>(tensor.shape.at(1));
    std::vector<float> weights(tensor.elements());
    checkpoint::ToFloat(tensor.dtype, tensor.data.data(), weights.size(), weights.data());
    Settings settings;
    settings.threads = 2;
    const MatrixLoss plain;
    const Quantizer quantizer(weights.data(), rows, columns, plain, settings);
    std::vector<float> decoded;
    double bits = 0;
    // Every byte of the stream counts: scales, classes, tables, checksums.
    double low = quantizer.spread() / 16, high = 2 * quantizer.spread();
    for (int i = 0; i < 9; ++i) {
      const double middle = std::sqrt(low * high);
      const Quantized quantized = quantizer.Quantize(middle);
      const auto stream = Write(quantized.matrix, 2);
      ASSERT_TRUE(stream.ok()) << stream.status();
      const double at = 8.0 * static_cast<double>(stream->size()) / static_cast<double>(weights.size());
      (at > kBits ? low : high) = middle;
      if (at <= kBits) {
        bits = at;
        decoded = Decode(quantized.matrix);
      }
    }
    ASSERT_FALSE(decoded.empty()) << tensor.name;
    const double reached = SignalToNoise(weights, decoded), ideal = IdealUniform(weights, quantizer.spread());
    std::printf("%s: %.4f bits, %.2f dB; ideal uniform at %.2f bits %.2f dB\n", tensor.name.c_str(), bits, reached, kBits, ideal);
    EXPECT_GE(reached, ideal - 0.1) << tensor.name;
    EXPECT_GE(reached, 16.2) << tensor.name;
  }
}

}  // namespace
}  // namespace nashswarm::nsq
