// Super-blocks of 256 weights with an integer scale and minimum per sub-block: Q5_K, Q4_K (8 x 32 weights), Q2_K
// (16 x 16).
//
// Encoding: fit scale and minimum of each sub-block alone; take d and dmin from the greatest; for each sub-block try
// the integer pairs next to its ideal pair on the real, re-rounded error; solve d and dmin by least squares over the
// super-block; repeat while it helps.
#include <array>

#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

constexpr auto kFine = Windows({-0.75f, -0.25f, 0.25f, 0.75f, 1.25f, 1.75f}, {0.0f, 0.33f, 0.67f, 1.0f});
constexpr auto kCoarse = Windows({-0.5f, 0.0f, 0.5f, 1.0f}, {0.0f, 0.5f, 1.0f});

// Levels 0..max; integer scales and minima 0..greatest.
constexpr BlockShape Shape(float max, int subs, int greatest) {
  return {{0.0f, max}, kSuper, subs, 0, greatest, 0, greatest};
}
constexpr BlockShape kShapeQ5 = Shape(31.0f, 8, 63), kShapeQ4 = Shape(15.0f, 8, 63), kShapeQ2 = Shape(3.0f, 16, 15);

// The best choice for a super-block so far.
struct Chosen {
  float d = 0.0f, dmin = 0.0f;         // halves
  float scale[16] = {}, min[16] = {};  // integers
  float error = -1.0f;                 // sum over sub-blocks; negative: nothing chosen yet
};

constexpr int kRounds = 2;  // of (integers given d and dmin, d and dmin given integers)
constexpr int kTries = 9;   // pairs of integers around the ideal pair
constexpr float kScaleSteps[kTries] = {0, 0, 0, -1, -1, -1, 1, 1, 1};
constexpr float kMinSteps[kTries] = {0, -1, 1, 0, -1, 1, 0, -1, 1};

float Greatest(const float* values, int count) {
  float greatest = 0.0f;
  for (int j = 0; j < count; ++j) {
    if (std::fabs(values[j]) > std::fabs(greatest)) greatest = values[j];
  }
  return greatest;
}

// The d and dmin that minimise the error of a super-block given all integers: two linear equations.
// `first` is the super-block's first lane.
void SolveUnits(const AffineSums& sums, int first, int subs, const Chosen& scales, float& d, float& dmin) {
  double ss = 0.0, sm = 0.0, mm = 0.0, sx = 0.0, mx = 0.0;
  for (int j = 0; j < subs; ++j) {
    const double s = scales.scale[j], m = scales.min[j];
    const int lane = first + j;
    ss += s * s * sums.qq[lane];
    sm += s * m * sums.q[lane];
    mm += m * m * sums.w[lane];
    sx += s * sums.xq[lane];
    mx += m * sums.x[lane];
  }
  const double determinant = ss * mm - sm * sm;
  if (determinant > 1e-9 * ss * mm) {
    d = HalfScale(static_cast<float>((sx * mm - mx * sm) / determinant));
    dmin = HalfScale(static_cast<float>((sx * sm - mx * ss) / determinant));
  } else if (ss > 0.0) {
    d = HalfScale(static_cast<float>((sx + dmin * sm) / ss));
  }
}

// Chooses units and integers of the super-blocks that share a group.
void FitGroup(const BlockShape& shape, absl::Span<const Window> windows, const Kernels& kernels, const Group& group,
              float sign, Chosen* scales) {
  const int subs = shape.subs, supers = kLanes / subs;
  const float max = shape.grid.hi;
  const auto greatest = static_cast<float>(shape.greatest_scale);
  Lanes ideal_scale = {}, ideal_min = {};
  kernels.fit_affine(group, max, sign, windows, ideal_scale, ideal_min);
  float d[2] = {}, dmin[2] = {};
  for (int s = 0; s < supers; ++s) {
    d[s] = HalfScale(Greatest(ideal_scale + s * subs, subs) / greatest);
    dmin[s] = HalfScale(Greatest(ideal_min + s * subs, subs) / greatest);
  }

  for (int round = 0; round < kRounds; ++round) {
    Lanes scale[kTries], min[kTries], tried_scale[kTries], tried_min[kTries], best = {}, error = {};
    for (int lane = 0; lane < kLanes; ++lane) {
      const float unit = d[lane / subs], unit_min = dmin[lane / subs];
      const float s = NearestInteger(Clamped(Ratio(ideal_scale[lane], unit), 0.0f, greatest));
      const float m = NearestInteger(Clamped(Ratio(ideal_min[lane], unit_min), 0.0f, greatest));
      for (int k = 0; k < kTries; ++k) {
        scale[k][lane] = Clamped(s + kScaleSteps[k], 0.0f, greatest);
        min[k][lane] = Clamped(m + kMinSteps[k], 0.0f, greatest);
        tried_scale[k][lane] = unit * scale[k][lane];
        tried_min[k][lane] = unit_min * min[k][lane];
      }
    }
    kernels.pick_affine(group, max, kTries, tried_scale, tried_min, best, error);

    bool improved = false;
    for (int s = 0; s < supers; ++s) {
      float sum = 0.0f;
      for (int j = 0; j < subs; ++j) sum += error[s * subs + j];
      if (scales[s].error >= 0.0f && sum >= scales[s].error) continue;
      improved = true;
      scales[s].d = d[s];
      scales[s].dmin = dmin[s];
      scales[s].error = sum;
      for (int j = 0; j < subs; ++j) {
        const int lane = s * subs + j, k = static_cast<int>(best[lane]);
        scales[s].scale[j] = scale[k][lane];
        scales[s].min[j] = min[k][lane];
      }
    }
    if (!improved || round + 1 == kRounds) return;

    Lanes chosen_scale, chosen_min;
    for (int lane = 0; lane < kLanes; ++lane) {
      const Chosen& super = scales[lane / subs];
      chosen_scale[lane] = super.d * super.scale[lane % subs];
      chosen_min[lane] = super.dmin * super.min[lane % subs];
    }
    AffineSums sums = {};
    kernels.affine_sums(group, max, chosen_scale, chosen_min, sums);
    for (int s = 0; s < supers; ++s) {
      d[s] = scales[s].d;
      dmin[s] = scales[s].dmin;
      SolveUnits(sums, s * subs, subs, scales[s], d[s], dmin[s]);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      ideal_scale[lane] = chosen_scale[lane];
      ideal_min[lane] = chosen_min[lane];
    }
  }
}

// -1 when every sub-block lies above zero: minima are then stored with a negative dmin, so that the levels cover the
// weights' own range. A format's minima share one sign, so a mixed super-block gets the usual one.
float MinimumSign(absl::Span<const float> super, int sub_weights) {
  for (size_t i = 0; i < super.size(); i += sub_weights) {
    bool above = true;
    for (int k = 0; k < sub_weights; ++k) above = above && super[i + k] > 0.0f;
    if (!above) return 1.0f;
  }
  return -1.0f;
}

int FitSupers(const BlockShape& shape, absl::Span<const Window> windows, const Row& row, int first,
              BlockScales* scales) {
  const Kernels& kernels = ActiveKernels();
  const int supers = static_cast<int>(row.weights.size() / kSuper);
  const int subs = shape.subs, at_once = kLanes / subs;
  const auto sign_of = [&](int s) {
    return MinimumSign(row.weights.subspan(static_cast<size_t>(s) * kSuper, kSuper), shape.sub_weights());
  };
  const float sign = sign_of(first);
  int count = 1;
  while (count < std::min(at_once, supers - first) && sign_of(first + count) == sign) ++count;

  const size_t at = static_cast<size_t>(first) * kSuper;
  Group group;
  kernels.load(row.weights.data() + at, row.importance_at(at), count * subs, shape.sub_weights(), group);
  Chosen chosen[2];
  FitGroup(shape, windows, kernels, group, sign, chosen);
  for (int s = 0; s < count; ++s) {
    scales[s].d = chosen[s].d;
    scales[s].dmin = chosen[s].dmin;
    for (int j = 0; j < subs; ++j) {
      scales[s].scale[j] = static_cast<int8_t>(chosen[s].scale[j]);
      scales[s].min[j] = static_cast<int8_t>(chosen[s].min[j]);
    }
  }
  return count;
}

// The 12 bytes of six-bit scales and minima that Q4_K and Q5_K share; layout in blocks.h.
void PackSixBits(const BlockScales& scales, uint8_t* out) {
  for (int j = 0; j < 4; ++j) {
    const int s0 = scales.scale[j], s4 = scales.scale[j + 4];
    const int m0 = scales.min[j], m4 = scales.min[j + 4];
    out[j] = static_cast<uint8_t>(s0 | s4 >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(m0 | m4 >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((s4 & 15) | (m4 & 15) << 4);
  }
}

struct SixBits {
  std::array<int, 8> scale, min;
};

SixBits UnpackSixBits(const uint8_t* in) {
  SixBits six;
  for (int j = 0; j < 4; ++j) {
    six.scale[j] = in[j] & 63;
    six.min[j] = in[j + 4] & 63;
    six.scale[j + 4] = (in[j + 8] & 15) | in[j] >> 6 << 4;
    six.min[j + 4] = in[j + 8] >> 4 | in[j + 4] >> 6 << 4;
  }
  return six;
}

// Sub-block 2p in the low nibbles of bytes 32p..32p+31, sub-block 2p + 1 in the high ones.
void PackSubNibbles(const uint8_t* q, uint8_t* out) {
  for (int p = 0; p < 4; ++p, q += 64, out += 32) {
    for (int l = 0; l < 32; ++l) out[l] = static_cast<uint8_t>((q[l] & 15) | q[l + 32] << 4);
  }
}

int FitQ4_K(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeQ4, kFine, row, first, scales);
}

void PackQ4_K(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ4_K& block = *reinterpret_cast<BlockQ4_K*>(out);
  block.d = FloatToHalf(scales.d);
  block.dmin = FloatToHalf(scales.dmin);
  PackSixBits(scales, block.scales);
  PackSubNibbles(q, block.q);
}

void DecodeQ4_K(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ4_K& block : BlocksAt<BlockQ4_K>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d), dmin = HalfToFloat(block.dmin);
    const SixBits six = UnpackSixBits(block.scales);
    for (int j = 0; j < 8; ++j) {
      const float scale = d * six.scale[j], min = dmin * six.min[j];
      const uint8_t* q = block.q + j / 2 * 32;
      const int shift = j % 2 * 4;
      for (int l = 0; l < 32; ++l) *y++ = scale * (q[l] >> shift & 15) - min;
    }
  }
}

int FitQ5_K(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeQ5, kFine, row, first, scales);
}

void PackQ5_K(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ5_K& block = *reinterpret_cast<BlockQ5_K*>(out);
  block.d = FloatToHalf(scales.d);
  block.dmin = FloatToHalf(scales.dmin);
  PackSixBits(scales, block.scales);
  PackSubNibbles(q, block.q);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (q[32 * j + l] >> 4) << j;
    block.high[l] = static_cast<uint8_t>(bits);
  }
}

void DecodeQ5_K(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ5_K& block : BlocksAt<BlockQ5_K>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d), dmin = HalfToFloat(block.dmin);
    const SixBits six = UnpackSixBits(block.scales);
    for (int j = 0; j < 8; ++j) {
      const float scale = d * six.scale[j], min = dmin * six.min[j];
      const uint8_t* q = block.q + j / 2 * 32;
      const int shift = j % 2 * 4;
      for (int l = 0; l < 32; ++l) {
        *y++ = scale * ((q[l] >> shift & 15) + (block.high[l] >> j & 1) * 16) - min;
      }
    }
  }
}

int FitQ2_K(const Row& row, int first, BlockScales* scales) {
  return FitSupers(kShapeQ2, kCoarse, row, first, scales);
}

void PackQ2_K(const BlockScales& scales, const uint8_t* q, uint8_t* out) {
  BlockQ2_K& block = *reinterpret_cast<BlockQ2_K*>(out);
  block.d = FloatToHalf(scales.d);
  block.dmin = FloatToHalf(scales.dmin);
  for (int j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<uint8_t>(scales.scale[j] | scales.min[j] << 4);
  }
  for (int h = 0; h < 2; ++h, q += 128) {
    for (int l = 0; l < 32; ++l) {
      block.q[32 * h + l] = static_cast<uint8_t>(q[l] | q[l + 32] << 2 | q[l + 64] << 4 | q[l + 96] << 6);
    }
  }
}

void DecodeQ2_K(const uint8_t* in, absl::Span<float> row) {
  float* y = row.data();
  for (const BlockQ2_K& block : BlocksAt<BlockQ2_K>(in, row.size(), kSuper)) {
    const float d = HalfToFloat(block.d), dmin = HalfToFloat(block.dmin);
    for (int j = 0; j < 16; ++j) {
      const float scale = d * (block.scales[j] & 15), min = dmin * (block.scales[j] >> 4);
      const uint8_t* q = block.q + j / 8 * 32 + j % 2 * 16;
      const int shift = j % 8 / 2 * 2;
      for (int l = 0; l < 16; ++l) *y++ = scale * (q[l] >> shift & 3) - min;
    }
  }
}

}  // namespace

constinit const Codec kQ5_K = {DecodeQ5_K, nullptr, kShapeQ5, FitQ5_K, PackQ5_K};
constinit const Codec kQ4_K = {DecodeQ4_K, nullptr, kShapeQ4, FitQ4_K, PackQ4_K};
constinit const Codec kQ2_K = {DecodeQ2_K, nullptr, kShapeQ2, FitQ2_K, PackQ2_K};

}  // namespace nashswarm::quant
