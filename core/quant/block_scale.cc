// Formats with one half-precision scale per 32 weights: Q8_0, Q5_0, Q4_0, IQ4_NL.
//
// Encoding: fit the least-squares scale over many first guesses, store it, round the weights with what is stored.
#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

constexpr float kLevelsQ8[] = {127.0f, 126.2f, 125.4f, 124.6f, 123.8f};
constexpr float kLevelsQ5[] = {-16.0f, -15.5f, -15.0f, -14.5f, -14.0f, -16.5f, 15.0f, 15.5f, 14.5f};
constexpr float kClippedQ5[] = {-16.0f, -15.5f, -15.0f, -14.5f, -14.0f, -16.5f, -17.0f, -18.0f, -19.0f, -20.0f,
                                14.0f,  14.5f,  15.0f,  15.5f,  16.0f,  17.0f,  18.0f,  19.0f,  20.0f};
constexpr float kLevelsQ4[] = {-8.0f, -7.75f, -7.5f, -7.25f, -7.0f, -8.25f, -8.5f};
constexpr float kClippedQ4[] = {-8.0f, -7.5f, -7.0f, -6.5f, -8.5f, -9.0f, -9.5f, -10.0f, -11.0f, -12.0f,
                                7.0f,  7.5f,  8.0f,  8.5f,  9.0f,  10.0f, 11.0f};

// A smaller scale is stored as zero: with the least half, 2^-24, in its place even the greatest weight of a codebook
// block, 127 scales, would lie about as near to zero as to another level.
constexpr float kLeastUsefulScale = 0x1p-28f;

constexpr BlockShape Shape(const Grid& grid) { return {grid, kBlock}; }
constexpr BlockShape kShapeQ8 = Shape({-128.0f, 127.0f}), kShapeQ5 = Shape({-16.0f, 15.0f}), kShapeQ4 = Shape({-8.0f, 7.0f}),
                     kShapeIQ4 = Shape(GridOf(kCodebookIQ4));

int FitBlocks(const Grid& grid, const Guesses& guesses, const Row& row, int first, BlockScales* scales) {
  const Kernels& kernels = ActiveKernels();
  const int count = std::min(kLanes, static_cast<int>(row.weights.size() / kBlock) - first);
  const size_t at = static_cast<size_t>(first) * kBlock;
  Group group;
  kernels.load(row.weights.data() + at, row.importance_at(at), count, kBlock, group);
  Lanes scale = {};
  kernels.fit_scale(group, grid, guesses.For(group.weighted), scale);
  for (float& s : scale) s = std::fabs(s) < kLeastUsefulScale ? 0.0f : HalfScale(s);
  for (int lane = 0; lane < count; ++lane) {
    scales[lane].d = scale[lane];
    scales[lane].scale[0] = 1;
  }
  return count;
}

int FitQ8_0(const Row& row, int first, BlockScales* scales) {
  return FitBlocks(kShapeQ8.grid, {kLevelsQ8, kLevelsQ8}, row, first, scales);
}

void PackQ8_0(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ8_0& block = *reinterpret_cast<BlockQ8_0*>(out);
  block.d = FloatToHalf(scales.d);
  for (int i = 0; i < kBlock; ++i) block.q[i] = static_cast<int8_t>(q[i] - 128);
}

void DecodeQ8_0(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ8_0& block : BlocksAt<BlockQ8_0>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    for (int i = 0; i < kBlock; ++i) *y++ = block.q[i] * d;
  }
}

int FitQ5_0(const Row& row, int first, BlockScales* scales) {
  return FitBlocks(kShapeQ5.grid, {kLevelsQ5, kClippedQ5}, row, first, scales);
}

void PackQ5_0(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ5_0& block = *reinterpret_cast<BlockQ5_0*>(out);
  block.d = FloatToHalf(scales.d);
  PackNibbles(q, block.q);
  PackFifthBits(q, block.high);
}

void DecodeQ5_0(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ5_0& block : BlocksAt<BlockQ5_0>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    uint8_t q[kBlock];
    for (int i = 0; i < kBlock; ++i) q[i] = static_cast<uint8_t>((block.high[i / 8] >> i % 8 & 1) << 4);
    for (int i = 0; i < 16; ++i) {
      q[i] |= block.q[i] & 15;
      q[i + 16] |= block.q[i] >> 4;
    }
    for (int i = 0; i < kBlock; ++i) y[i] = (q[i] - 16) * d;
    y += kBlock;
  }
}

int FitQ4_0(const Row& row, int first, BlockScales* scales) {
  return FitBlocks(kShapeQ4.grid, {kLevelsQ4, kClippedQ4}, row, first, scales);
}

// Q4_0 and IQ4_NL have the same layout.
static_assert(sizeof(BlockQ4_0) == sizeof(BlockIQ4_NL));
void PackQ4_0(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ4_0& block = *reinterpret_cast<BlockQ4_0*>(out);
  block.d = FloatToHalf(scales.d);
  PackNibbles(q, block.q);
}

void DecodeQ4_0(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ4_0& block : BlocksAt<BlockQ4_0>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    for (int i = 0; i < 16; ++i) {
      y[i] = ((block.q[i] & 15) - 8) * d;
      y[i + 16] = ((block.q[i] >> 4) - 8) * d;
    }
    y += kBlock;
  }
}

int FitIQ4_NL(const Row& row, int first, BlockScales* scales) {
  return FitBlocks(kShapeIQ4.grid, {kLevelsIQ4, kClippedIQ4}, row, first, scales);
}

void DecodeIQ4_NL(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockIQ4_NL& block : BlocksAt<BlockIQ4_NL>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    for (int i = 0; i < 16; ++i) {
      y[i] = d * kCodebookIQ4.level[block.q[i] & 15];
      y[i + 16] = d * kCodebookIQ4.level[block.q[i] >> 4];
    }
    y += kBlock;
  }
}

}  // namespace

constinit const Codec kQ8_0 = {DecodeQ8_0, nullptr, kShapeQ8, FitQ8_0, PackQ8_0};
constinit const Codec kQ5_0 = {DecodeQ5_0, nullptr, kShapeQ5, FitQ5_0, PackQ5_0};
constinit const Codec kQ4_0 = {DecodeQ4_0, nullptr, kShapeQ4, FitQ4_0, PackQ4_0};
constinit const Codec kIQ4_NL = {DecodeIQ4_NL, nullptr, kShapeIQ4, FitIQ4_NL, PackQ4_0};

}  // namespace nashswarm::quant
