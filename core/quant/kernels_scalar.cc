// The reference: what each lane of a SIMD kernel computes, one block at a time.
#include <algorithm>
#include <cmath>

#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

float Inverse(float scale) { return std::fabs(scale) < kTinyScale ? 0.0f : 1.0f / scale; }

float Clamp(float t, float lo, float hi) {  // NaN becomes lo, as with x86 vector instructions
  t = t > lo ? t : lo;
  return t < hi ? t : hi;
}

// Clamps first, so that the addition below rounds any input to the nearest integer, ties to even.
float RoundClamped(float t, float lo, float hi) {
  t = Clamp(t, lo, hi);
  constexpr float kIntegers = 12582912.0f;  // 1.5 * 2^23: floats of this size are integers
  return (t + kIntegers) - kIntegers;
}

// Number of the level that is nearest to t.
int LevelOf(const Codebook& book, float t) {
  int level = 0;
  for (const float threshold : book.threshold) level += t > threshold;
  return level;
}

float RoundToGrid(const Grid& grid, float t) {
  return grid.codebook ? grid.codebook->level[LevelOf(*grid.codebook, t)] : RoundClamped(t, grid.lo, grid.hi);
}

float Importance(const Group& group, int i, int lane) { return group.weighted ? group.w[i][lane] : 1.0f; }

void Load(const float* x, const float* importance, int blocks, int size, Group& group) {
  group.blocks = blocks;
  group.size = size;
  float greatest = 0.0f;
  for (int i = 0; importance != nullptr && i < blocks * size; ++i) greatest = std::max(greatest, importance[i]);
  group.weighted = greatest > 1e-36f;  // all zero says nothing about the weights
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < size; ++i) {
      const float value = lane < blocks ? x[lane * size + i] : 0.0f;
      group.x[i][lane] = Clamp(value, -kHugeWeight, kHugeWeight);
      if (!group.weighted) continue;
      const float factor = lane < blocks ? importance[lane * size + i] * (1.0f / greatest) : 0.0f;
      group.w[i][lane] = factor > kLeastImportance ? factor : kLeastImportance;
    }
  }
}

struct Sums {
  float xq = 0.0f, qq = 0.0f;
  float gain() const { return xq * xq / std::max(qq, kTinyScale); }  // how much the best scale lowers the error
  float scale() const { return xq / std::max(qq, kTinyScale); }
};

Sums SumLane(const Group& group, const Grid& grid, int lane, float inverse) {
  Sums sums;
  for (int i = 0; i < group.size; ++i) {
    const float x = group.x[i][lane];
    const float q = RoundToGrid(grid, x * inverse);
    const float wq = Importance(group, i, lane) * q;
    sums.xq += wq * x;
    sums.qq += wq * q;
  }
  return sums;
}

float FitLane(const Group& group, const Grid& grid, absl::Span<const float> levels, int lane) {
  float lo = 0.0f, hi = 0.0f;
  for (int i = 0; i < group.size; ++i) {
    lo = std::min(lo, group.x[i][lane]);
    hi = std::max(hi, group.x[i][lane]);
  }
  const float unit = Inverse(lo + hi > 0.0f ? hi : lo);
  float gain = 0.0f, scale = 0.0f;
  const auto consider = [&](float inverse) {
    const Sums sums = SumLane(group, grid, lane, inverse);
    if (sums.gain() > gain) gain = sums.gain(), scale = sums.scale();
  };
  for (const float level : levels) consider(level * unit);
  return scale;
}

void FitScale(const Group& group, const Grid& grid, absl::Span<const float> levels, Lanes& scale) {
  for (int lane = 0; lane < group.blocks; ++lane) scale[lane] = FitLane(group, grid, levels, lane);
}

void PickScale(const Group& group, const Grid& grid, int count, const Lanes* scale, Lanes& best, Lanes& error) {
  for (int lane = 0; lane < group.blocks; ++lane) {
    for (int k = 0; k < count; ++k) {
      const float s = scale[k][lane], inverse = Inverse(s);
      float sum = 0.0f;
      for (int i = 0; i < group.size; ++i) {
        const float x = group.x[i][lane];
        const float e = x - s * RoundToGrid(grid, x * inverse);
        sum += Importance(group, i, lane) * e * e;
      }
      if (k == 0 || sum < error[lane]) error[lane] = sum, best[lane] = static_cast<float>(k);
    }
  }
}

void SumScale(const Group& group, const Grid& grid, const Lanes& scale, ScaleSums& sums) {
  for (int lane = 0; lane < group.blocks; ++lane) {
    const Sums s = SumLane(group, grid, lane, Inverse(scale[lane]));
    sums.xq[lane] = s.xq;
    sums.qq[lane] = s.qq;
  }
}

void FitAffineLane(const Group& group, float max, float sign, absl::Span<const Window> windows, int lane,
                   float& best_scale, float& best_min) {
  float lo = group.x[0][lane], hi = lo;
  for (int i = 1; i < group.size; ++i) {
    lo = std::min(lo, group.x[i][lane]);
    hi = std::max(hi, group.x[i][lane]);
  }
  if (sign > 0) lo = std::min(lo, 0.0f);
  // Everything below is about y = x - lo, so that a block far from zero loses no digits: y = s q + o.
  float w = 0.0f, wy = 0.0f;
  for (int i = 0; i < group.size; ++i) {
    const float y = group.x[i][lane] - lo, weight = Importance(group, i, lane);
    w += weight;
    wy += weight * y;
  }
  float best_cost = 0.0f;
  float scale = 0.0f, offset = 0.0f;
  const auto consider = [&](float inverse, float shift) {
    float wq = 0.0f, wqq = 0.0f, wyq = 0.0f;
    for (int i = 0; i < group.size; ++i) {
      const float y = group.x[i][lane] - lo;
      const float q = RoundClamped(y * inverse + shift, 0.0f, max);
      const float p = Importance(group, i, lane) * q;
      wq += p;
      wqq += p * q;
      wyq += p * y;
    }
    const float determinant = w * wqq - wq * wq;
    const bool solvable = determinant > 1e-6f * (w * wqq);
    float s = solvable ? (w * wyq - wy * wq) / determinant : 0.0f;
    s = s > 0.0f ? s : 0.0f;
    float o = (wy - s * wq) / w;
    if ((o + lo) * sign > 0.0f) {  // the minimum may not change sign: fit the scale alone
      o = 0.0f - lo;
      s = (wyq + lo * wq) / std::max(wqq, kTinyScale);
      s = s > 0.0f ? s : 0.0f;
    }
    const float cost = s * (s * wqq - 2.0f * wyq) + o * (o * w + 2.0f * (s * wq - wy));
    if (cost < best_cost) best_cost = cost, scale = s, offset = o;
  };
  const float unit = Inverse(hi - lo);
  for (const Window& window : windows) consider((max + window.stretch) * unit, window.shift);
  best_scale = scale;
  best_min = 0.0f - (offset + lo);
}

void FitAffine(const Group& group, float max, float sign, absl::Span<const Window> windows, Lanes& scale, Lanes& min) {
  for (int lane = 0; lane < group.blocks; ++lane) {
    FitAffineLane(group, max, sign, windows, lane, scale[lane], min[lane]);
  }
}

void PickAffine(const Group& group, float max, int count, const Lanes* scale, const Lanes* min, Lanes& best,
                Lanes& error) {
  for (int lane = 0; lane < group.blocks; ++lane) {
    for (int k = 0; k < count; ++k) {
      const float s = scale[k][lane], m = min[k][lane], inverse = Inverse(s);
      float sum = 0.0f;
      for (int i = 0; i < group.size; ++i) {
        const float y = group.x[i][lane] + m;
        const float e = y - s * RoundClamped(y * inverse, 0.0f, max);
        sum += Importance(group, i, lane) * e * e;
      }
      if (k == 0 || sum < error[lane]) error[lane] = sum, best[lane] = static_cast<float>(k);
    }
  }
}

void SumAffine(const Group& group, float max, const Lanes& scale, const Lanes& min, AffineSums& sums) {
  for (int lane = 0; lane < group.blocks; ++lane) {
    const float m = min[lane], inverse = Inverse(scale[lane]);
    float w = 0.0f, wx = 0.0f, wq = 0.0f, wxq = 0.0f, wqq = 0.0f;
    for (int i = 0; i < group.size; ++i) {
      const float x = group.x[i][lane], weight = Importance(group, i, lane);
      const float q = RoundClamped((x + m) * inverse, 0.0f, max);
      const float p = weight * q;
      w += weight;
      wx += weight * x;
      wq += p;
      wxq += p * x;
      wqq += p * q;
    }
    sums.w[lane] = w, sums.x[lane] = wx, sums.q[lane] = wq, sums.xq[lane] = wxq, sums.qq[lane] = wqq;
  }
}

void Round(const float* x, int blocks, int size, const Grid& grid, const float* scale, const float* min, uint8_t* q) {
  for (int block = 0; block < blocks; ++block) {
    const float inverse = Inverse(scale[block]);
    for (int i = block * size; i < (block + 1) * size; ++i) {
      const float t = (x[i] + min[block]) * inverse;
      const int level =
          grid.codebook ? LevelOf(*grid.codebook, t) : static_cast<int>(RoundClamped(t, grid.lo, grid.hi) - grid.lo);
      q[i] = static_cast<uint8_t>(level);
    }
  }
}

void Compare(const float* x, const float* y, const float* importance, size_t count, PartialErrors& sums) {
  for (size_t i = 0; i < count; ++i) {
    const double value = x[i], e = value - y[i], w = importance == nullptr ? 1.0 : importance[i];
    sums.error[i % kPartialSums] += w * (e * e);
    sums.energy[i % kPartialSums] += w * (value * value);
  }
}

}  // namespace

const Kernels& ScalarKernels() {
  static constexpr Kernels kKernels = {"PLAIN", Load,       FitScale,  PickScale, SumScale,
                                       FitAffine, PickAffine, SumAffine, Round,     Compare};
  return kKernels;
}

}  // namespace nashswarm::quant
