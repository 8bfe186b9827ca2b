// Formats with one half-precision scale and minimum per 32 weights: Q5_1, Q4_1.
//
// Encoding: fit scale and minimum over many first guesses, as for the super-blocks but with a minimum of either sign;
// store both; solve them again for the levels that the stored pair gives; keep the pair with the lesser real error.
#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

constexpr BlockShape Shape(float max) { return {{0.0f, max}, kBlock, 1, 1, 1, 1, 1}; }
constexpr BlockShape kShapeQ5 = Shape(31.0f), kShapeQ4 = Shape(15.0f);

constexpr auto kWindows = Windows({-0.75f, -0.25f, 0.25f, 0.75f, 1.25f, 1.75f}, {0.0f, 0.33f, 0.67f, 1.0f});
constexpr float kEitherSign = 0.0f;

// Scale and minimum that are best for the levels behind `sums`; where all levels are alike, the scale stays.
void Solve(const AffineSums& sums, int lane, float& scale, float& min) {
  const double w = sums.w[lane], x = sums.x[lane], q = sums.q[lane], xq = sums.xq[lane], qq = sums.qq[lane];
  const double determinant = w * qq - q * q;
  double s = scale;
  if (determinant > 1e-9 * w * qq) s = (w * xq - x * q) / determinant;
  scale = HalfScale(static_cast<float>(s));
  min = StorableMinimum(static_cast<float>((scale * q - x) / w));
}

int FitBlocks(const BlockShape& shape, const Row& row, int first, BlockScales* scales) {
  const Kernels& kernels = ActiveKernels();
  const int count = std::min(kLanes, static_cast<int>(row.weights.size() / kBlock) - first);
  const size_t at = static_cast<size_t>(first) * kBlock;
  Group group;
  kernels.load(row.weights.data() + at, row.importance_at(at), count, kBlock, group);

  constexpr int kTries = 2;
  Lanes scale[kTries] = {}, min[kTries] = {}, best = {}, error = {};
  kernels.fit_affine(group, shape.grid.hi, kEitherSign, kWindows, scale[0], min[0]);
  for (int lane = 0; lane < count; ++lane) {
    scale[0][lane] = HalfScale(scale[0][lane]);
    min[0][lane] = StorableMinimum(min[0][lane]);
  }
  AffineSums sums = {};
  kernels.affine_sums(group, shape.grid.hi, scale[0], min[0], sums);
  for (int lane = 0; lane < count; ++lane) {
    scale[1][lane] = scale[0][lane];
    Solve(sums, lane, scale[1][lane], min[1][lane]);
  }
  kernels.pick_affine(group, shape.grid.hi, kTries, scale, min, best, error);
  for (int lane = 0; lane < count; ++lane) {
    const int k = static_cast<int>(best[lane]);
    scales[lane].d = scale[k][lane];
    scales[lane].dmin = min[k][lane];
    scales[lane].scale[0] = scales[lane].min[0] = 1;
  }
  return count;
}

int FitQ5_1(const Row& row, int first, BlockScales* scales) { return FitBlocks(kShapeQ5, row, first, scales); }

void PackQ5_1(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ5_1& block = *reinterpret_cast<BlockQ5_1*>(out);
  block.d = FloatToHalf(scales.d);
  block.m = FloatToHalf(-scales.dmin);
  PackNibbles(q, block.q);
  PackFifthBits(q, block.high);
}

void DecodeQ5_1(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ5_1& block : BlocksAt<BlockQ5_1>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
    uint8_t q[kBlock];
    for (int i = 0; i < kBlock; ++i) q[i] = static_cast<uint8_t>((block.high[i / 8] >> i % 8 & 1) << 4);
    for (int i = 0; i < 16; ++i) {
      q[i] |= block.q[i] & 15;
      q[i + 16] |= block.q[i] >> 4;
    }
    for (int i = 0; i < kBlock; ++i) y[i] = q[i] * d + m;
    y += kBlock;
  }
}

int FitQ4_1(const Row& row, int first, BlockScales* scales) { return FitBlocks(kShapeQ4, row, first, scales); }

void PackQ4_1(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ4_1& block = *reinterpret_cast<BlockQ4_1*>(out);
  block.d = FloatToHalf(scales.d);
  block.m = FloatToHalf(-scales.dmin);
  PackNibbles(q, block.q);
}

void DecodeQ4_1(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ4_1& block : BlocksAt<BlockQ4_1>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
    for (int i = 0; i < 16; ++i) {
      y[i] = (block.q[i] & 15) * d + m;
      y[i + 16] = (block.q[i] >> 4) * d + m;
    }
    y += kBlock;
  }
}

}  // namespace

constinit const Codec kQ5_1 = {DecodeQ5_1, nullptr, kShapeQ5, FitQ5_1, PackQ5_1};
constinit const Codec kQ4_1 = {DecodeQ4_1, nullptr, kShapeQ4, FitQ4_1, PackQ4_1};

}  // namespace nashswarm::quant
