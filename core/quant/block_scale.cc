// Formats with one half-precision scale per 32 weights: Q8_0, Q5_0, Q4_0, IQ4_NL.
//
// Encoding: fit the least-squares scale over many first guesses, store it, round the weights with what is stored.
#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

struct BlockFormat {
  Grid grid;
  Guesses guesses;
};

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

constexpr Lanes kNoMinimum = {};

// Encodes the row 16 blocks at a time; `write(q, block)` packs 32 rounded weights, q counted from the lowest level.
template <typename Block, typename Write>
void EncodeBlocks(const BlockFormat& format, const Row& row, uint8_t* out, Write write) {
  const Kernels& kernels = ActiveKernels();
  const int blocks = static_cast<int>(row.weights.size() / kBlock);
  Group group;
  for (int first = 0; first < blocks; first += kLanes) {
    const int count = std::min(kLanes, blocks - first);
    const float* weights = row.weights.data() + static_cast<size_t>(first) * kBlock;
    kernels.load(weights, row.importance_at(static_cast<size_t>(first) * kBlock), count, kBlock, group);

    Lanes scale = {};
    kernels.fit_scale(group, format.grid, format.guesses.For(group.weighted), scale);
    for (float& s : scale) s = std::fabs(s) < kLeastUsefulScale ? 0.0f : StorableScale(s);

    uint8_t q[kLanes * kBlock];
    kernels.round(weights, count, kBlock, format.grid, scale, kNoMinimum, q);
    Block* block = reinterpret_cast<Block*>(out) + first;
    for (int lane = 0; lane < count; ++lane) {
      block[lane].d = FloatToHalf(scale[lane]);
      write(q + lane * kBlock, block[lane]);
    }
  }
}

// Weights 0..15 in the low nibbles, 16..31 in the high ones.
void PackNibbles(const uint8_t* q, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | q[i + 16] << 4);
}

}  // namespace

void EncodeQ8_0(const Row& row, uint8_t* out) {
  const BlockFormat format = {{-128.0f, 127.0f}, {kLevelsQ8, kLevelsQ8}};
  EncodeBlocks<BlockQ8_0>(format, row, out, [](const uint8_t* q, BlockQ8_0& block) {
    for (int i = 0; i < kBlock; ++i) block.q[i] = static_cast<int8_t>(q[i] - 128);
  });
}

void DecodeQ8_0(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ8_0& block : BlocksAt<BlockQ8_0>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    for (int i = 0; i < kBlock; ++i) *y++ = block.q[i] * d;
  }
}

void EncodeQ5_0(const Row& row, uint8_t* out) {
  const BlockFormat format = {{-16.0f, 15.0f}, {kLevelsQ5, kClippedQ5}};
  EncodeBlocks<BlockQ5_0>(format, row, out, [](const uint8_t* q, BlockQ5_0& block) {
    PackNibbles(q, block.q);
    for (int byte = 0; byte < 4; ++byte) {
      int bits = 0;
      for (int i = 0; i < 8; ++i) bits |= (q[8 * byte + i] >> 4) << i;
      block.high[byte] = static_cast<uint8_t>(bits);
    }
  });
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

void EncodeQ4_0(const Row& row, uint8_t* out) {
  const BlockFormat format = {{-8.0f, 7.0f}, {kLevelsQ4, kClippedQ4}};
  EncodeBlocks<BlockQ4_0>(format, row, out, [](const uint8_t* q, BlockQ4_0& block) { PackNibbles(q, block.q); });
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

void EncodeIQ4_NL(const Row& row, uint8_t* out) {
  const BlockFormat format = {{-127.0f, 113.0f, true}, {kLevelsIQ4, kClippedIQ4}};
  EncodeBlocks<BlockIQ4_NL>(format, row, out, [](const uint8_t* q, BlockIQ4_NL& block) { PackNibbles(q, block.q); });
}

void DecodeIQ4_NL(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockIQ4_NL& block : BlocksAt<BlockIQ4_NL>(in, row.size(), kBlock)) {
    const float d = HalfToFloat(block.d);
    for (int i = 0; i < 16; ++i) {
      y[i] = d * kCodebook[block.q[i] & 15];
      y[i + 16] = d * kCodebook[block.q[i] >> 4];
    }
    y += kBlock;
  }
}

}  // namespace nashswarm::quant
