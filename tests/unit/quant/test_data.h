// Rows of weights that the quant tests share: ordinary, heavy-tailed and awkward ones. All deterministic.
#ifndef NASHSWARM_TESTS_UNIT_QUANT_TEST_DATA_H_
#define NASHSWARM_TESTS_UNIT_QUANT_TEST_DATA_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/quant/format.h"

namespace nashswarm::quant {

struct NamedRow {
  std::string name;
  std::vector<float> weights;
};

// std::normal_distribution differs between libraries; this does not.
class Noise {
 public:
  explicit Noise(uint32_t seed) : random_(seed) {}
  float Uniform() { return static_cast<float>(random_() >> 8) * 0x1p-24f; }  // [0, 1)
  float Normal() {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += Uniform();
    return sum;
  }
  float HeavyTailed() { return Normal() / (0.1f + std::fabs(Normal())); }

 private:
  std::mt19937 random_;
};

template <typename Next>
std::vector<float> Generate(size_t size, Next next) {
  std::vector<float> values(size);
  for (float& value : values) value = next();
  return values;
}

inline std::vector<float> NormalRow(size_t size, uint32_t seed) {
  Noise noise(seed);
  return Generate(size, [&] { return 0.02f * noise.Normal(); });
}

inline std::vector<float> HeavyTailedRow(size_t size, uint32_t seed) {
  Noise noise(seed);
  return Generate(size, [&] { return 0.02f * noise.HeavyTailed(); });
}

// Positive, over three orders of magnitude.
inline std::vector<float> Importance(size_t size, uint32_t seed) {
  Noise noise(seed);
  return Generate(size, [&] { return std::exp(1.5f * noise.Normal()); });
}

// Inputs that break careless encoders. `size` is a multiple of 256.
inline std::vector<NamedRow> AwkwardRows(size_t size) {
  Noise noise(7);
  std::vector<NamedRow> rows;
  const auto add = [&](std::string name, auto next) { rows.push_back({std::move(name), Generate(size, next)}); };
  add("zero", [] { return 0.0f; });
  add("negative zero", [] { return -0.0f; });
  add("constant", [] { return 0.7f; });
  add("negative constant", [] { return -0.7f; });
  add("positive only", [&] { return noise.Uniform(); });
  add("negative only", [&] { return -noise.Uniform(); });
  add("near one", [&] { return 1.0f + 0.01f * noise.Normal(); });
  add("near minus one", [&] { return -1.0f + 0.01f * noise.Normal(); });
  add("huge", [&] { return 1e30f * noise.Normal(); });
  add("greatest float", [&] { return noise.Uniform() < 0.5f ? 3.4028235e38f : -3.4028235e38f; });
  add("above half", [&] { return 2e5f * noise.Normal(); });
  add("denormal", [&] { return 1e-40f * noise.Normal(); });
  add("below half", [&] { return 1e-9f * noise.Normal(); });
  add("half subnormal", [&] { return 1e-6f * noise.Normal(); });
  add("tiny float", [&] { return 1e-30f * noise.Normal(); });
  add("wide range", [&] { return noise.Normal() * std::exp(8.0f * noise.Normal()); });
  add("two values", [&] { return noise.Uniform() < 0.5f ? 0.3f : -0.1f; });
  rows.push_back({"single outlier", std::vector<float>(size, 0.0f)});
  rows.back().weights[size / 2 + 3] = 5.0f;
  rows.push_back({"outlier in noise", NormalRow(size, 8)});
  rows.back().weights[17] = -40.0f;
  rows.push_back({"zero half", NormalRow(size, 9)});
  for (size_t i = 0; i < size / 2; ++i) rows.back().weights[i] = 0.0f;
  return rows;
}

inline std::vector<uint8_t> Encode(Format format, const std::vector<float>& row,
                                   const std::vector<float>& importance = {}) {
  std::vector<uint8_t> out(*EncodedBytes(format, 1, row.size()));
  EncodeRow(format, row, importance, out.data());
  return out;
}

inline std::vector<float> Decode(Format format, const std::vector<uint8_t>& encoded, size_t size) {
  std::vector<float> row(size);
  DecodeRow(format, encoded.data(), absl::MakeSpan(row));
  return row;
}

inline double SquaredError(const std::vector<float>& a, const std::vector<float>& b,
                           const std::vector<float>& importance = {}) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double e = static_cast<double>(a[i]) - b[i];
    sum += (importance.empty() ? 1.0 : importance[i]) * e * e;
  }
  return sum;
}

// Error of encoding and decoding, weighted by `weigh` (which the encoder need not have seen).
inline double RoundTripError(Format format, const std::vector<float>& row, const std::vector<float>& importance = {},
                             const std::vector<float>& weigh = {}) {
  return SquaredError(row, Decode(format, Encode(format, row, importance), row.size()), weigh);
}

// How near to itself a weight is stored to which all else gives way, as a share of it. Between 1 and 3/2 times a power of two the levels
// of MXFP4 have nothing, at any scale.
inline float LeastStep(Format format) { return format == Format::kMXFP4 ? 0.2f : 0.01f; }

inline std::vector<FormatInfo> BlockFormats() {
  std::vector<FormatInfo> formats;
  for (const FormatInfo& info : AllFormats()) {
    if (info.block_weights > 1) formats.push_back(info);
  }
  return formats;
}

}  // namespace nashswarm::quant

#endif  // NASHSWARM_TESTS_UNIT_QUANT_TEST_DATA_H_
