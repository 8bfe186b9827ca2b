// Blocks taken apart: their scales and their levels apart from each other, for encoders that choose levels their own
// way (core/feedback). Every block format fits one formula: a weight of sub-block j is
//
//   d * scale[j] * level - dmin * min[j]
//
// where the level is an integer or a codebook value. Formats without integer scales have one sub-block and
// scale[0] = 1; Q4_1 and Q5_1, which add their minimum, have dmin = -m and min[0] = 1.
#ifndef NASHSWARM_CORE_QUANT_SCALES_H_
#define NASHSWARM_CORE_QUANT_SCALES_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/types/span.h"
#include "core/base/half.h"
#include "core/quant/codebook.h"
#include "core/quant/format.h"

namespace nashswarm::quant {

// Levels a scaled weight may take, lo..hi: the integers, or those of a codebook.
struct Grid {
  float lo, hi;
  const Codebook* codebook = nullptr;
};

constexpr Grid GridOf(const Codebook& book) { return {book.level[0], book.level[book.size - 1], &book}; }

constexpr int kMaxSubs = 16;           // sub-blocks of a block, at most
constexpr int kMaxBlocksAtOnce = 16;   // blocks of a group, at most

// What the scale d of a block may be: a binary16, or zero and the powers of two.
enum class ScaleKind { kHalf, kPowerOfTwo };

struct BlockShape {
  Grid grid;
  int weights = 0, subs = 1;               // of a block: 32 with one sub-block, or 256 with 8 or 16
  int least_scale = 1, greatest_scale = 1; // of the integer scales
  int least_min = 0, greatest_min = 0;     // of the integer minima; 0, 0: the format has no minimum
  ScaleKind scale_kind = ScaleKind::kHalf;
  int sub_weights() const { return weights / subs; }
  bool has_min() const { return greatest_min != 0; }
};

// What a block stores beside its levels.
struct BlockScales {
  float d = 0.0f;     // what StorableScale returns
  float dmin = 0.0f;  // exactly representable as a half
  int8_t scale[kMaxSubs] = {}, min[kMaxSubs] = {};
  // As the decoder computes them, to the bit: weight = ScaleOf(j) * level - MinOf(j).
  float ScaleOf(int j) const { return d * static_cast<float>(scale[j]); }
  float MinOf(int j) const { return dmin * static_cast<float>(min[j]); }
};

// A row to encode; `importance` is empty or as long as `weights`.
struct Row {
  absl::Span<const float> weights;
  absl::Span<const float> importance;
  const float* importance_at(size_t i) const { return importance.empty() ? nullptr : importance.data() + i; }
};

// The functions below are for formats with blocks: InfoOf(format).block_weights > 1.
const BlockShape& ShapeOf(Format format);

// Chooses the scales of the row's blocks from number `first` on, as many as are best done at once, and returns how
// many: 1..kMaxBlocksAtOnce. The search is that of EncodeRow, whose scales these are. Scales depend on their block
// alone, and on the greatest importance among the blocks done at once.
int ChooseScales(Format format, const Row& row, int first, BlockScales* scales);

// Rounds the blocks of consecutive weights to the nearest levels, numbered from the lowest one.
// At most kMaxBlocksAtOnce blocks and 16 sub-blocks.
void ChooseLevels(Format format, const float* weights, int blocks, const BlockScales* scales, uint8_t* levels);

// Writes a block from its scales and its levels, numbered from the lowest one.
void PackBlock(Format format, const BlockScales& scales, const uint8_t* levels, uint8_t* out);

constexpr float kGreatestHalf = 65504.0f;

// The nearest half for normal halves; below those, where halves are coarse, the next one away from zero, so that a small
// scale neither vanishes nor shrinks by much. Saturates. Without branches, so that a loop over lanes becomes vector code.
inline float HalfScale(float value) {
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

// Powers of two that encoders choose. With smaller ones the kernels' sums, which have fourth powers of weights and squares of
// importance in them, would leave the normal floats; greater ones have no use, as weights are clamped (kHugeWeight).
constexpr float kLeastPower = 0x1p-36f, kGreatestPower = 0x1p37f;

// The nearest power of two, the greater one midway: of two the one with the lesser squared error, for fixed levels.
// Saturates at both ends; zero for what is not positive.
inline float PowerOfTwoScale(float value) {
  if (!(value > 0.0f)) return 0.0f;
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x400000u) & 0x7f800000u);
  return power < kLeastPower ? kLeastPower : power < kGreatestPower ? power : kGreatestPower;
}

// A scale as blocks of the shape can store it, still as a float.
inline float StorableScale(const BlockShape& shape, float value) {
  return shape.scale_kind == ScaleKind::kPowerOfTwo ? PowerOfTwoScale(value) : HalfScale(value);
}

// The nearest half, still as a float; saturates. Minima may vanish.
inline float StorableMinimum(float value) {
  const float half = HalfToFloat(FloatToHalf(std::fabs(value)));
  return std::copysign(half < kGreatestHalf ? half : kGreatestHalf, value);
}

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_SCALES_H_
