// Encoders and decoders of each format, grouped by family; format.cc chooses between them. Internal to core/quant.
#ifndef NASHSWARM_CORE_QUANT_CODECS_H_
#define NASHSWARM_CORE_QUANT_CODECS_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/types/span.h"
#include "core/base/half.h"

namespace nashswarm::quant {

// A row to encode; `importance` is empty or as long as `weights`.
struct Row {
  absl::Span<const float> weights;
  absl::Span<const float> importance;
  const float* importance_at(size_t i) const { return importance.empty() ? nullptr : importance.data() + i; }
};

using Encoder = void (*)(const Row& row, uint8_t* out);
using Decoder = void (*)(const uint8_t* in, absl::Span<float> row);

// One number per weight (plain.cc).
void EncodeF32(const Row& row, uint8_t* out);
void EncodeF16(const Row& row, uint8_t* out);
void EncodeBF16(const Row& row, uint8_t* out);
void DecodeF32(const uint8_t* in, absl::Span<float> row);
void DecodeF16(const uint8_t* in, absl::Span<float> row);
void DecodeBF16(const uint8_t* in, absl::Span<float> row);

// One scale per 32 weights (block_scale.cc).
void EncodeQ8_0(const Row& row, uint8_t* out);
void EncodeQ5_0(const Row& row, uint8_t* out);
void EncodeQ4_0(const Row& row, uint8_t* out);
void EncodeIQ4_NL(const Row& row, uint8_t* out);
void DecodeQ8_0(const uint8_t* in, absl::Span<float> row);
void DecodeQ5_0(const uint8_t* in, absl::Span<float> row);
void DecodeQ4_0(const uint8_t* in, absl::Span<float> row);
void DecodeIQ4_NL(const uint8_t* in, absl::Span<float> row);

// Super-blocks of 256 with a scale per sub-block (super_scale.cc).
void EncodeQ6_K(const Row& row, uint8_t* out);
void EncodeQ3_K(const Row& row, uint8_t* out);
void EncodeIQ4_XS(const Row& row, uint8_t* out);
void DecodeQ6_K(const uint8_t* in, absl::Span<float> row);
void DecodeQ3_K(const uint8_t* in, absl::Span<float> row);
void DecodeIQ4_XS(const uint8_t* in, absl::Span<float> row);

// Super-blocks of 256 with a scale and a minimum per sub-block (super_affine.cc).
void EncodeQ5_K(const Row& row, uint8_t* out);
void EncodeQ4_K(const Row& row, uint8_t* out);
void EncodeQ2_K(const Row& row, uint8_t* out);
void DecodeQ5_K(const uint8_t* in, absl::Span<float> row);
void DecodeQ4_K(const uint8_t* in, absl::Span<float> row);
void DecodeQ2_K(const uint8_t* in, absl::Span<float> row);

// First guesses of the scale. `levels`: where the weight of greatest magnitude may land, of either sign because the
// grids are not symmetric. More guesses find luckier roundings; each list ends about where more stopped to pay. With
// importance the greatest weight may hardly count, so `clipped`, used then, goes on to guesses that cut it off.
struct Guesses {
  absl::Span<const float> levels, clipped;
  absl::Span<const float> For(bool weighted) const { return weighted ? clipped : levels; }
};

// For IQ4_NL and IQ4_XS.
inline constexpr float kLevelsIQ4[] = {-133.0f, -127.0f, -121.0f, -115.0f, -109.0f, -104.0f,
                                       -98.0f,  119.0f,  113.0f,  107.0f,  102.0f,  97.0f};
inline constexpr float kClippedIQ4[] = {-133.0f, -127.0f, -121.0f, -115.0f, -109.0f, -104.0f, -98.0f,
                                        -140.0f, -150.0f, -165.0f, 119.0f,  113.0f,  107.0f,  102.0f,
                                        97.0f,   126.0f,  135.0f,  145.0f,  160.0f};

// The `Block`s of `block_weights` weights at `in`, as many as fill a row.
template <typename Block>
absl::Span<const Block> BlocksAt(const uint8_t* in, size_t row_weights, size_t block_weights) {
  return absl::MakeConstSpan(reinterpret_cast<const Block*>(in), row_weights / block_weights);
}

constexpr float kGreatestHalf = 65504.0f;

inline float Clamped(float value, float lo, float hi) { return value < lo ? lo : value > hi ? hi : value; }

// A scale as it can be stored, still as a float: the nearest half for normal halves; below those, where halves are
// coarse, the next one away from zero, so that a small scale neither vanishes nor shrinks by much. Saturates.
// Without branches, so that a loop over lanes becomes vector code.
inline float StorableScale(float value) {
  constexpr float kLeastNormal = 0x1p-14f, kLeast = 0x1p-24f;
  const float magnitude = std::fabs(value);
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const float normal = std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & 0xffffe000u);
  const float steps = (magnitude < kLeastNormal ? magnitude : kLeastNormal) / kLeast;  // exact
  const float whole = static_cast<float>(static_cast<int>(steps));
  const float subnormal = (whole < steps ? whole + 1.0f : whole) * kLeast;
  const float half = magnitude < kLeastNormal ? subnormal : normal;
  return std::copysign(half < kGreatestHalf ? half : kGreatestHalf, value);
}

// Nearest integer, ties to even, for |value| < 2^22.
inline float NearestInteger(float value) { return (value + 12582912.0f) - 12582912.0f; }

// value / unit, or zero when the unit is.
inline float Ratio(float value, float unit) { return unit == 0.0f ? 0.0f : value / unit; }

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_CODECS_H_
