// Formats with one power of two as the scale of 32 weights: MXFP4 of the OCP Microscaling Formats (MX) Specification 1.0,
// 2023, sections 5.2 to 5.4, laid out as in ggml.
//
// Encoding: fit the least-squares scale; of the powers of two around it take the one with the least real error; round the
// weights with that.
#include <array>

#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

// Few scales are to choose from, and a single guess finds them. On normal and heavy-tailed rows the error was that of the best scale of
// all; with importance over three orders of magnitude too, over more than ten within 0.1 % of it.
constexpr float kLevelsE2M1[] = {12.0f};
constexpr float kClippedE2M1[] = {12.0f, 24.0f, 48.0f, 96.0f};

constexpr BlockShape kShapeMXFP4 = {.grid = GridOf(kCodebookE2M1), .weights = kBlock, .scale_kind = ScaleKind::kPowerOfTwo};

// What a number is multiplied by for PowerOfTwoScale to return the last power of two up to it, the next, and the one before.
constexpr float kSteps[] = {0.75f, 1.5f, 0.375f};

int FitMXFP4(const Row& row, int first, BlockScales* scales) {
  const Kernels& kernels = ActiveKernels();
  const int count = std::min(kLanes, static_cast<int>(row.weights.size() / kBlock) - first);
  const size_t at = static_cast<size_t>(first) * kBlock;
  Group group;
  kernels.load(row.weights.data() + at, row.importance_at(at), count, kBlock, group);

  constexpr int kTries = static_cast<int>(std::size(kSteps));
  constexpr Guesses kGuesses = {kLevelsE2M1, kClippedE2M1};
  Lanes fitted = {}, tried[kTries], best = {}, error = {};
  kernels.fit_scale(group, kShapeMXFP4.grid, kGuesses.For(group.weighted), fitted);
  for (int k = 0; k < kTries; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) {  // the levels are symmetric: the sign of a scale says nothing
      tried[k][lane] = StorableScale(kShapeMXFP4, kSteps[k] * std::fabs(fitted[lane]));
    }
  }
  kernels.pick_scale(group, kShapeMXFP4.grid, kTries, tried, best, error);
  for (int lane = 0; lane < count; ++lane) {
    scales[lane].d = tried[static_cast<int>(best[lane])][lane];
    scales[lane].scale[0] = 1;
  }
  return count;
}

// Levels are numbered from the lowest one; codes count magnitudes, and their fourth bit is the sign. A zero has no sign: the
// code 8 is read and never written.
constexpr int kZero = kCodebookE2M1.size / 2;  // its number
constexpr int CodeOf(int level) { return level >= kZero ? level - kZero : 8 + kZero - level; }
constexpr auto kValues = [] {  // of codes
  std::array<float, 16> values{};
  for (int level = 0; level < kCodebookE2M1.size; ++level) values[CodeOf(level)] = kCodebookE2M1.level[level];
  return values;
}();

// d = 2^(e - 128): half the specification's 2^(e - 127), as levels are twice its elements. The least two are subnormal. 255,
// which is NaN there, is not in ggml.
float ScaleOf(uint8_t e) { return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1u) << 23); }
uint8_t ExponentOf(float d) {  // a power of two and a normal float; or zero, of a block whose levels are zeros
  return d == 0.0f ? 0 : static_cast<uint8_t>((std::bit_cast<uint32_t>(d) >> 23) + 1);
}

void PackMXFP4(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockMXFP4& block = *reinterpret_cast<BlockMXFP4*>(out);
  block.e = ExponentOf(scales.d);
  uint8_t codes[kBlock];
  for (int i = 0; i < kBlock; ++i) codes[i] = static_cast<uint8_t>(CodeOf(q[i]));
  PackNibbles(codes, block.q);
}

void DecodeMXFP4(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockMXFP4& block : BlocksAt<BlockMXFP4>(in, row.size(), kBlock)) {
    const float d = ScaleOf(block.e);
    for (int i = 0; i < 16; ++i) {
      y[i] = d * kValues[block.q[i] & 15];
      y[i + 16] = d * kValues[block.q[i] >> 4];
    }
    y += kBlock;
  }
}

}  // namespace

constinit const Codec kMXFP4 = {DecodeMXFP4, nullptr, kShapeMXFP4, FitMXFP4, PackMXFP4};

}  // namespace nashswarm::quant
