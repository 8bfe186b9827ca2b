// Formats that store each weight by itself: F32, F16, BF16.
//
// The conversions below have no branches, so that their loops become vector code; core/base/half.h says what they
// compute, and a test compares the two on every half and on all kinds of floats.
#include <cstring>

#include "core/quant/codecs.h"

namespace nashswarm::quant {
namespace {

constexpr uint32_t kInfinity = 0x7f800000u;

// a < b for values below 2^31, as a mask: a form that the compiler turns into vector code.
uint32_t Below(uint32_t a, uint32_t b) { return static_cast<uint32_t>(static_cast<int32_t>(a - b) >> 31); }
uint32_t Select(uint32_t mask, uint32_t yes, uint32_t no) { return (yes & mask) | (no & ~mask); }

// Nearest half, ties to even; a finite float beyond the greatest half saturates, NaN stays NaN.
uint16_t ToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
  // Adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
  const uint32_t is_small = Below(magnitude, 0x38800000u);
  const uint32_t small = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude & is_small) + 0.5f) - 0x3f000000u;
  uint32_t half = Select(is_small, small, normal);
  half = Select(Below(magnitude, 0x477ff000u), half, 0x7bffu);
  half = Select(Below(kInfinity, magnitude), 0x7e00u, half);
  return static_cast<uint16_t>(half | (bits >> 16 & 0x8000u));
}

float FromHalf(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  // Moves the exponent from bias 15 to 127; exact, also for subnormal halves.
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const uint32_t value = Select(Below(magnitude, 0x0f800000u), finite, magnitude | kInfinity);
  return std::bit_cast<float>(value | static_cast<uint32_t>(half & 0x8000) << 16);
}

// Nearest bfloat16, ties to even; a finite float beyond the greatest bfloat16 saturates, NaN stays NaN.
uint16_t ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
  uint32_t rounded = (magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16;
  rounded = Select(Below(rounded, 0x7f80u), rounded, 0x7f7fu);
  rounded = Select(Below(kInfinity, magnitude), magnitude >> 16 | 64u, rounded);
  return static_cast<uint16_t>(rounded | (bits >> 16 & 0x8000u));
}

constexpr size_t kChunk = 256;  // weights converted at a time, through an aligned buffer

template <typename Convert>
void Encode16(absl::Span<const float> row, uint8_t* out, Convert convert) {
  uint16_t buffer[kChunk];
  for (size_t first = 0; first < row.size(); first += kChunk) {
    const size_t count = std::min(kChunk, row.size() - first);
    const float* from = row.data() + first;
    for (size_t i = 0; i < count; ++i) buffer[i] = convert(from[i]);
    std::memcpy(out + 2 * first, buffer, 2 * count);
  }
}

template <typename Convert>
void Decode16(const uint8_t* in, absl::Span<float> row, Convert convert) {
  uint16_t buffer[kChunk];
  for (size_t first = 0; first < row.size(); first += kChunk) {
    const size_t count = std::min(kChunk, row.size() - first);
    std::memcpy(buffer, in + 2 * first, 2 * count);
    float* to = row.data() + first;
    for (size_t i = 0; i < count; ++i) to[i] = convert(buffer[i]);
  }
}

void EncodeF32(const Row& row, uint8_t* out) {
  if (!row.weights.empty()) std::memcpy(out, row.weights.data(), row.weights.size() * 4);
}

void DecodeF32(const uint8_t* in, absl::Span<float> row) {
  if (!row.empty()) std::memcpy(row.data(), in, row.size() * 4);
}

void EncodeF16(const Row& row, uint8_t* out) {
  Encode16(row.weights, out, [](float value) { return ToHalf(value); });
}

void DecodeF16(const uint8_t* in, absl::Span<float> row) {
  Decode16(in, row, [](uint16_t half) { return FromHalf(half); });
}

void EncodeBF16(const Row& row, uint8_t* out) {
  Encode16(row.weights, out, [](float value) { return ToBFloat16(value); });
}

void DecodeBF16(const uint8_t* in, absl::Span<float> row) {
  Decode16(in, row, [](uint16_t value) { return BFloat16ToFloat(value); });
}

}  // namespace

constinit const Codec kF32 = {DecodeF32, EncodeF32};
constinit const Codec kF16 = {DecodeF16, EncodeF16};
constinit const Codec kBF16 = {DecodeBF16, EncodeBF16};

}  // namespace nashswarm::quant
