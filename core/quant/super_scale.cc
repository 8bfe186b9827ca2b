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

struct SuperFormat {
  Grid grid;
  Guesses guesses;
  int sub_weights;        // 16 or 32
  float least, greatest;  // of the integer scales
  int subs() const { return kSuper / sub_weights; }
};

// What is stored of a super-block beside the rounded weights.
struct Scales {
  float d = 0.0f;       // a half
  float sub[16] = {};   // integers
  float error = -1.0f;  // sum over sub-blocks; negative: nothing chosen yet
};

constexpr Lanes kNoMinimum = {};
constexpr int kRounds = 2;                       // of (scales given d, d given scales)
constexpr float kSteps[] = {0.0f, -1.0f, 1.0f};  // tried around an ideal integer scale

float FirstD(const SuperFormat& format, const float* ideal) {
  float extreme = 0.0f;
  for (int j = 0; j < format.subs(); ++j) {
    if (std::fabs(ideal[j]) > std::fabs(extreme)) extreme = ideal[j];
  }
  return StorableScale(extreme / format.least);
}

// Chooses d and the integer scales of the super-blocks that share a group.
void FitSupers(const SuperFormat& format, const Kernels& kernels, const Group& group, Scales* scales) {
  const int subs = format.subs(), supers = kLanes / subs;
  Lanes ideal = {};
  kernels.fit_scale(group, format.grid, format.guesses.For(group.weighted), ideal);
  float d[kLanes];  // per super-block
  for (int s = 0; s < supers; ++s) d[s] = FirstD(format, ideal + s * subs);

  for (int round = 0; round < kRounds; ++round) {
    constexpr int kTries = static_cast<int>(std::size(kSteps));
    Lanes integer[kTries], tried[kTries], best = {}, error = {}, chosen;
    for (int lane = 0; lane < kLanes; ++lane) {
      const float unit = d[lane / subs];
      const float centre = NearestInteger(Clamped(Ratio(ideal[lane], unit), format.least, format.greatest));
      for (int k = 0; k < kTries; ++k) {
        integer[k][lane] = Clamped(centre + kSteps[k], format.least, format.greatest);
        tried[k][lane] = unit * integer[k][lane];
      }
    }
    kernels.pick_scale(group, format.grid, kTries, tried, best, error);

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
    kernels.scale_sums(group, format.grid, chosen, sums);
    for (int s = 0; s < supers; ++s) {
      double xq = 0.0, qq = 0.0;
      for (int j = 0; j < subs; ++j) {
        const double scale = scales[s].sub[j];
        xq += scale * sums.xq[s * subs + j];
        qq += scale * scale * sums.qq[s * subs + j];
      }
      d[s] = qq > 0.0 ? StorableScale(static_cast<float>(xq / qq)) : scales[s].d;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      ideal[lane] = sums.qq[lane] > 0.0f ? sums.xq[lane] / sums.qq[lane] : 0.0f;
    }
  }
}

// `write(q, scales, block)` packs 256 rounded weights (q counted from the lowest level) and the integer scales; d is
// already there.
template <typename Block, typename Write>
void EncodeSupers(const SuperFormat& format, const Row& row, uint8_t* out, Write write) {
  const Kernels& kernels = ActiveKernels();
  const int supers = static_cast<int>(row.weights.size() / kSuper);
  const int subs = format.subs(), at_once = kLanes / subs;
  Group group;
  for (int first = 0; first < supers; first += at_once) {
    const int count = std::min(at_once, supers - first);
    const float* weights = row.weights.data() + static_cast<size_t>(first) * kSuper;
    kernels.load(weights, row.importance_at(static_cast<size_t>(first) * kSuper), count * subs, format.sub_weights,
                 group);
    Scales scales[2];
    FitSupers(format, kernels, group, scales);
    for (int s = 0; s < count; ++s) {
      Lanes scale;
      for (int j = 0; j < subs; ++j) scale[j] = scales[s].d * scales[s].sub[j];
      uint8_t q[kSuper];
      kernels.round(weights + s * kSuper, subs, format.sub_weights, format.grid, scale, kNoMinimum, q);
      int integers[16];
      for (int j = 0; j < subs; ++j) integers[j] = static_cast<int>(scales[s].sub[j]);
      Block& block = reinterpret_cast<Block*>(out)[first + s];
      block.d = FloatToHalf(scales[s].d);
      write(q, integers, block);
    }
  }
}

}  // namespace

void EncodeQ6_K(const Row& row, uint8_t* out) {
  const SuperFormat format = {{-32.0f, 31.0f}, {kLevelsQ6, kClippedQ6}, 16, -128.0f, 127.0f};
  EncodeSupers<BlockQ6_K>(format, row, out, [](const uint8_t* q, const int* scales, BlockQ6_K& block) {
    for (int h = 0; h < 2; ++h, q += 128) {
      for (int l = 0; l < 64; ++l) block.low[64 * h + l] = static_cast<uint8_t>((q[l] & 15) | q[l + 64] << 4);
      for (int l = 0; l < 32; ++l) {
        block.high[32 * h + l] = static_cast<uint8_t>(q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 |
                                                      q[l + 96] >> 4 << 6);
      }
    }
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(scales[j]);
  });
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

void EncodeQ3_K(const Row& row, uint8_t* out) {
  const SuperFormat format = {{-4.0f, 3.0f}, {kLevelsQ3, kClippedQ3}, 16, -32.0f, 31.0f};
  EncodeSupers<BlockQ3_K>(format, row, out, [](const uint8_t* q, const int* scales, BlockQ3_K& block) {
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
      const int a = scales[j] + 32, b = scales[j + 4] + 32, c = scales[j + 8] + 32, e = scales[j + 12] + 32;
      block.scales[j] = static_cast<uint8_t>((a & 15) | (c & 15) << 4);
      block.scales[j + 4] = static_cast<uint8_t>((b & 15) | (e & 15) << 4);
      block.scales[j + 8] = static_cast<uint8_t>(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | e >> 4 << 6);
    }
  });
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

void EncodeIQ4_XS(const Row& row, uint8_t* out) {
  const SuperFormat format = {{-127.0f, 113.0f, true}, {kLevelsIQ4, kClippedIQ4}, 32, -32.0f, 31.0f};
  EncodeSupers<BlockIQ4_XS>(format, row, out, [](const uint8_t* q, const int* scales, BlockIQ4_XS& block) {
    int high = 0;
    for (int j = 0; j < 8; ++j) high |= (scales[j] + 32) >> 4 << 2 * j;
    block.scales_high = static_cast<uint16_t>(high);
    for (int j = 0; j < 4; ++j) {
      block.scales_low[j] =
          static_cast<uint8_t>(((scales[2 * j] + 32) & 15) | ((scales[2 * j + 1] + 32) & 15) << 4);
    }
    for (int j = 0; j < 8; ++j) {
      const uint8_t* p = q + 32 * j;
      for (int i = 0; i < 16; ++i) block.q[16 * j + i] = static_cast<uint8_t>(p[i] | p[i + 16] << 4);
    }
  });
}

void DecodeIQ4_XS(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockIQ4_XS& block : BlocksAt<BlockIQ4_XS>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d);
    for (int j = 0; j < 8; ++j, y += 32) {
      const int low = block.scales_low[j / 2] >> (j % 2 * 4) & 15, high = block.scales_high >> 2 * j & 3;
      const float scale = d * (low + 16 * high - 32);
      for (int i = 0; i < 16; ++i) {
        y[i] = scale * kCodebook[block.q[16 * j + i] & 15];
        y[i + 16] = scale * kCodebook[block.q[16 * j + i] >> 4];
      }
    }
  }
}

}  // namespace nashswarm::quant
