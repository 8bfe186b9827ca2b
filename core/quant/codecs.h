// The codec of each format, grouped by family; format.cc chooses between them. Internal to core/quant.
#ifndef NASHSWARM_CORE_QUANT_CODECS_H_
#define NASHSWARM_CORE_QUANT_CODECS_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/types/span.h"
#include "core/base/half.h"
#include "core/quant/kernels.h"
#include "core/quant/scales.h"

namespace nashswarm::quant {

// What a format does. Formats that store each weight by itself have `encode`; the others have the rest.
struct Codec {
  void (*decode)(const uint8_t* in, absl::Span<float> row) = nullptr;
  void (*encode)(const Row& row, uint8_t* out) = nullptr;
  BlockShape shape = {};
  int (*choose_scales)(const Row& row, int first, BlockScales* scales) = nullptr;                // as ChooseScales
  void (*pack)(const BlockScales& scales, const uint8_t* levels, uint8_t* out) = nullptr;  // as PackBlock
};

// One number per weight (plain.cc).
extern const Codec kF32, kF16, kBF16;
// One scale per 32 weights (block_scale.cc).
extern const Codec kQ8_0, kQ5_0, kQ4_0, kIQ4_NL;
// One power of two per 32 weights (block_power.cc).
extern const Codec kMXFP4;
// One scale and one minimum per 32 weights (block_affine.cc).
extern const Codec kQ5_1, kQ4_1;
// Super-blocks of 256 with a scale per sub-block (super_scale.cc).
extern const Codec kQ6_K, kQ3_K, kIQ4_XS;
// Super-blocks of 256 with a scale and a minimum per sub-block (super_affine.cc).
extern const Codec kQ5_K, kQ4_K, kQ2_K;

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

// First guesses: the range of the weights spans max + stretch levels, and the share `low` of what does not fit is cut
// off at the lower end. More guesses find luckier roundings; these are about where more stopped to pay.
template <size_t kStretches, size_t kLows>
constexpr auto Windows(const float (&stretches)[kStretches], const float (&lows)[kLows]) {
  std::array<Window, kStretches * kLows> windows{};
  size_t i = 0;
  for (const float stretch : stretches) {
    for (const float low : lows) windows[i++] = {stretch, -stretch * low};
  }
  return windows;
}

// The `Block`s of `block_weights` weights at `in`, as many as fill a row.
template <typename Block>
absl::Span<const Block> BlocksAt(const uint8_t* in, size_t row_weights, size_t block_weights) {
  return absl::MakeConstSpan(reinterpret_cast<const Block*>(in), row_weights / block_weights);
}

inline float Clamped(float value, float lo, float hi) { return value < lo ? lo : value > hi ? hi : value; }

// Weights 0..15 in the low nibbles, 16..31 in the high ones.
inline void PackNibbles(const uint8_t* q, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | q[i + 16] << 4);
}

// Bit i (little endian): the fifth bit of weight i of 32.
inline void PackFifthBits(const uint8_t* q, uint8_t* out) {
  for (int byte = 0; byte < 4; ++byte) {
    int bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (q[8 * byte + i] >> 4) << i;
    out[byte] = static_cast<uint8_t>(bits);
  }
}

// Nearest integer, ties to even, for |value| < 2^22.
inline float NearestInteger(float value) { return (value + 12582912.0f) - 12582912.0f; }

// value / unit, or zero when the unit is.
inline float Ratio(float value, float unit) { return unit == 0.0f ? 0.0f : value / unit; }

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_CODECS_H_
