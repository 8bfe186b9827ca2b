// Super-blocks of 256 weights with one integer scale per sub-block: Q6_K, Q3_K (16 x 16 weights), IQ4_XS (8 x 32).
//
// Encoding: fit each sub-block alone; take d from the greatest scale; for each sub-block try the integer scales next to
// its ideal one on the real, re-rounded error; solve d by least squares over the super-block; repeat while it helps.
#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

constexpr float kLevelsQ6[] = {-32.3f, -31.7f, -31.1f, -30.5f, -29.9f, -29.3f, -28.7f, -28.1f,
                               31.3f,  30.7f,  30.1f,  29.5f};
constexpr float kClippedQ6[] = {-32.3f, -31.7f, -31.1f, -30.5f, -29.9f, -29.3f, -28.7f, -28.1f, -33.0f, -34.0f, -36.0f,
                                31.3f,  30.7f,  30.1f,  29.5f,  32.0f,  33.0f,  35.0f};
constexpr float kLevelsQ3[] = {-4.0f, -3.75f, -3.5f, -3.25f, -3.0f, -4.5f, -5.0f, 3.0f, 3.5f, 4.0f};
constexpr float kClippedQ3[] = {-4.0f, -3.75f, -3.5f, -3.25f, -3.0f, -4.5f, -5.0f, -5.5f, -6.0f, -7.0f, -8.0f,
                                3.0f,  3.5f,   4.0f,  4.5f,   5.0f,  5.5f,  6.0f,  7.0f};

constexpr BlockShape kShapeQ6 = {{-32.0f, 31.0f}, kSuper, 16, -128, 127};
constexpr BlockShape kShapeQ3 = {{-4.0f, 3.0f}, kSuper, 16, -32, 31};
constexpr BlockShape kShapeIQ4 = {GridOf(kCodebookIQ4), kSuper, 8, -32, 31};

// The best choice for a super-block so far.
struct Chosen {
  float d = 0.0f;       // a half
  float sub[16] = {};   // integers
  float error = -1.0f;  // sum over sub-blocks; negative: nothing chosen yet
};

constexpr int kRounds = 2;                       // of (scales given d, d given scales)
constexpr float kSteps[] = {0.0f, -1.0f, 1.0f};  // tried around an ideal integer scale

float FirstD(const BlockShape& shape, const float* ideal) {
  float extreme = 0.0f;
  for (int j = 0; j < shape.subs; ++j) {
    if (std::fabs(ideal[j]) > std::fabs(extreme)) extreme = ideal[j];
  }
  return HalfScale(extreme / static_cast<float>(shape.least_scale));
}

// Chooses d and the integer scales of the super-blocks that share a group.
void FitGroup(const BlockShape& shape, const Guesses& guesses, const Kernels& kernels, const Group& group,
              Chosen* scales) {
  const int subs = shape.subs, supers = kLanes / subs;
  const auto least = static_cast<float>(shape.least_scale), greatest = static_cast<float>(shape.greatest_scale);
  Lanes ideal = {};
  kernels.fit_scale(group, shape.grid, guesses.For(group.weighted), ideal);
  float d[kLanes];  // per super-block
  for (int s = 0; s < supers; ++s) d[s] = FirstD(shape, ideal + s * subs);

  for (int round = 0; round < kRounds; ++round) {
    constexpr int kTries = static_cast<int>(std::size(kSteps));
    Lanes integer[kTries], tried[kTries], best = {}, error = {}, chosen;
    for (int lane = 0; lane < kLanes; ++lane) {
      const float unit = d[lane / subs];
      const float centre = NearestInteger(Clamped(Ratio(ideal[lane], unit), least, greatest));
      for (int k = 0; k < kTries; ++k) {
        integer[k][lane] = Clamped(centre + kSteps[k], least, greatest);
        tried[k][lane] = unit * integer[k][lane];
      }
    }
    kernels.pick_scale(group, shape.grid, kTries, tried, best, error);

    bool improved = false;
    for (int s = 0; s < supers; ++s) {
      float sum = 0.0f;
      for (int j = 0; j < subs; ++j) sum += error[s * subs + j];
      if (scales[s].error >= 0.0f && sum >= scales[s].error) continue;
      improved = true;
      scales[s].d = d[s];
      scales[s].error = sum;
      for (int j = 0; j < subs; ++j) scales[s].sub[j] = integer[static_cast<int>(best[s * subs + j])][s * subs + j];
    }
    if (!improved || round + 1 == kRounds) return;

    for (int lane = 0; lane < kLanes; ++lane) {
      chosen[lane] = scales[lane / subs].d * scales[lane / subs].sub[lane % subs];
    }
    ScaleSums sums = {};
    kernels.scale_sums(group, shape.grid, chosen, sums);
    for (int s = 0; s < supers; ++s) {
      double xq = 0.0, qq = 0.0;
      for (int j = 0; j < subs; ++j) {
        const double scale = scales[s].sub[j];
        xq += scale * sums.xq[s * subs + j];
        qq += scale * scale * sums.qq[s * subs + j];
      }
      d[s] = qq > 0.0 ? HalfScale(static_cast<float>(xq / qq)) : scales[s].d;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      ideal[lane] = sums.qq[lane] > 0.0f ? sums.xq[lane] / sums.qq[lane] : 0.0f;
    }
  }
}

int FitSupers(const BlockShape& shape, const Guesses& guesses, const Row& row, int first, BlockScales* scales) {
  const Kernels& kernels = ActiveKernels();
  const int subs = shape.subs;
  const int count = std::min(kLanes / subs, static_cast<int>(row.weights.size() / kSuper) - first);
  const size_t at = static_cast<size_t>(first) * kSuper;
  Group group;
  kernels.load(row.weights.data() + at, row.importance_at(at), count * subs, shape.sub_weights(), group);
  Chosen chosen[2];
  FitGroup(shape, guesses, kernels, group, chosen);
  for (int s = 0; s < count; ++s) {
    scales[s].d = chosen[s].d;
    for (int j = 0; j < subs; ++j) scales[s].scale[j] = static_cast<int8_t>(chosen[s].sub[j]);
  }
  return count;
}

int FitQ6_K(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeQ6, {kLevelsQ6, kClippedQ6}, row, first, scales);
}

void PackQ6_K(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ6_K& block = *reinterpret_cast<BlockQ6_K*>(out);
  block.d = FloatToHalf(scales.d);
  for (int h = 0; h < 2; ++h, q += 128) {
    for (int l = 0; l < 64; ++l) block.low[64 * h + l] = static_cast<uint8_t>((q[l] & 15) | q[l + 64] << 4);
    for (int l = 0; l < 32; ++l) {
      block.high[32 * h + l] = static_cast<uint8_t>(q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 |
                                                    q[l + 96] >> 4 << 6);
    }
  }
  for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(scales.scale[j]);
}

void DecodeQ6_K(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ6_K& block : BlocksAt<BlockQ6_K>(in, row.size(), kSuper)) {
    uint8_t q[kSuper];
    for (int h = 0; h < 2; ++h) {
      uint8_t* half = q + 128 * h;
      for (int l = 0; l < 64; ++l) {
        half[l] = block.low[64 * h + l] & 15;
        half[l + 64] = block.low[64 * h + l] >> 4;
      }
      for (int l = 0; l < 32; ++l) {
        const int high = block.high[32 * h + l];
        half[l] |= static_cast<uint8_t>((high & 3) << 4);
        half[l + 32] |= static_cast<uint8_t>((high & 12) << 2);
        half[l + 64] |= static_cast<uint8_t>(high & 48);
        half[l + 96] |= static_cast<uint8_t>((high & 192) >> 2);
      }
    }
    const float d = HalfToFloat(block.d);
    for (int j = 0; j < 16; ++j) {
      const float scale = d * block.scales[j];
      for (int l = 0; l < 16; ++l) y[16 * j + l] = scale * (q[16 * j + l] - 32);
    }
    y += kSuper;
  }
}

int FitQ3_K(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeQ3, {kLevelsQ3, kClippedQ3}, row, first, scales);
}

void PackQ3_K(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ3_K& block = *reinterpret_cast<BlockQ3_K*>(out);
  block.d = FloatToHalf(scales.d);
  for (int h = 0; h < 2; ++h) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t* p = q + 128 * h + l;
      block.low[32 * h + l] =
          static_cast<uint8_t>((p[0] & 3) | (p[32] & 3) << 2 | (p[64] & 3) << 4 | (p[96] & 3) << 6);
    }
  }
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int k = 0; k < 8; ++k) bits |= (q[32 * k + l] >> 2) << k;
    block.high[l] = static_cast<uint8_t>(bits);
  }
  for (int j = 0; j < 4; ++j) {
    const int a = scales.scale[j] + 32, b = scales.scale[j + 4] + 32;
    const int c = scales.scale[j + 8] + 32, e = scales.scale[j + 12] + 32;
    block.scales[j] = static_cast<uint8_t>((a & 15) | (c & 15) << 4);
    block.scales[j + 4] = static_cast<uint8_t>((b & 15) | (e & 15) << 4);
    block.scales[j + 8] = static_cast<uint8_t>(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | e >> 4 << 6);
  }
}

void DecodeQ3_K(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ3_K& block : BlocksAt<BlockQ3_K>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d);
    float scale[16];
    for (int j = 0; j < 16; ++j) {
      const int low = j < 8 ? block.scales[j] & 15 : block.scales[j - 8] >> 4;
      const int high = block.scales[8 + j % 4] >> (j / 4 * 2) & 3;
      scale[j] = d * (low + 16 * high - 32);
    }
    uint8_t q[kSuper];
    for (int k = 0; k < 8; ++k) {
      const uint8_t* low = block.low + k / 4 * 32;
      for (int l = 0; l < 32; ++l) {
        q[32 * k + l] = static_cast<uint8_t>((low[l] >> k % 4 * 2 & 3) | (block.high[l] >> k & 1) << 2);
      }
    }
    for (int j = 0; j < 16; ++j) {
      for (int l = 0; l < 16; ++l) y[16 * j + l] = scale[j] * (q[16 * j + l] - 4);
    }
    y += kSuper;
  }
}

int FitIQ4_XS(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeIQ4, {kLevelsIQ4, kClippedIQ4}, row, first, scales);
}

void PackIQ4_XS(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockIQ4_XS& block = *reinterpret_cast<BlockIQ4_XS*>(out);
  block.d = FloatToHalf(scales.d);
  int high = 0;
  for (int j = 0; j < 8; ++j) high |= (scales.scale[j] + 32) >> 4 << 2 * j;
  block.scales_high = static_cast<uint16_t>(high);
  for (int j = 0; j < 4; ++j) {
    block.scales_low[j] =
        static_cast<uint8_t>(((scales.scale[2 * j] + 32) & 15) | ((scales.scale[2 * j + 1] + 32) & 15) << 4);
  }
  for (int j = 0; j < 8; ++j) {
    const uint8_t* p = q + 32 * j;
    for (int i = 0; i < 16; ++i) block.q[16 * j + i] = static_cast<uint8_t>(p[i] | p[i + 16] << 4);
  }
}

void DecodeIQ4_XS(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockIQ4_XS& block : BlocksAt<BlockIQ4_XS>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d);
    for (int j = 0; j < 8; ++j, y += 32) {
      const int low = block.scales_low[j / 2] >> (j % 2 * 4) & 15, high = block.scales_high >> 2 * j & 3;
      const float scale = d * (low + 16 * high - 32);
      for (int i = 0; i < 16; ++i) {
        y[i] = scale * kCodebookIQ4.level[block.q[16 * j + i] & 15];
        y[i + 16] = scale * kCodebookIQ4.level[block.q[16 * j + i] >> 4];
      }
    }
  }
}

}  // namespace

constinit const Codec kQ6_K = {DecodeQ6_K, nullptr, kShapeQ6, FitQ6_K, PackQ6_K};
constinit const Codec kQ3_K = {DecodeQ3_K, nullptr, kShapeQ3, FitQ3_K, PackQ3_K};
constinit const Codec kIQ4_XS = {DecodeIQ4_XS, nullptr, kShapeIQ4, FitIQ4_XS, PackIQ4_XS};

}  // namespace nashswarm::quant
