// The reference: what each lane of a SIMD kernel computes.
#include "core/feedback/kernels.h"

namespace nashswarm::feedback {
namespace {

float Clamp(float t, float lo, float hi) {  // NaN becomes lo, as with x86 vector instructions
  t = t > lo ? t : lo;
  return t < hi ? t : hi;
}

float Nearest(const quant::Grid& grid, float t) {
  if (grid.codebook == nullptr) {
    constexpr float kIntegers = 12582912.0f;  // 1.5 * 2^23: floats of this size are integers
    return (Clamp(t, grid.lo, grid.hi) + kIntegers) - kIntegers;
  }
  const quant::Codebook& book = *grid.codebook;
  float value = book.level[0];
  for (int k = 0; k < quant::kMaxLevels - 1; ++k) {
    if (t > book.threshold[k]) value = book.level[k + 1];
  }
  return value;
}

// Rounds column j of a row towards `target`.
void Place(Strip& strip, int j, int row, float target) {
  const int sub = j / strip.sub_weights(), at = j * kPanelRows + row;
  const float min = strip.min[sub][row];
  strip.value[at] = Nearest(strip.grid, (target + min) * strip.inverse[sub][row]);
  strip.decoded[at] = strip.scale[sub][row] * strip.value[at] - min;
}

// Column k of x loses `change` times `factor`.
void Feed(float* x, const float* change, float factor) {
  for (int row = 0; row < kPanelRows; ++row) x[row] -= change[row] * factor;
}

void Round(Strip& strip) {
  for (int j = 0; j < kStrip; ++j) {
    float* change = strip.change + j * kPanelRows;
    for (int row = 0; row < kPanelRows; ++row) {
      const int at = j * kPanelRows + row;
      Place(strip, j, row, strip.x[at]);
      change[row] = (strip.x[at] - strip.decoded[at]) * strip.unit[j];
    }
    for (int k = j + 1; k < kStrip; ++k) Feed(strip.x + k * kPanelRows, change, strip.matrix[j * strip.stride + k]);
  }
}

// What column j's moving by `step` does to the gradient of the strip.
void Move(Strip& strip, int j, const float* step) {
  for (int k = 0; k < kStrip; ++k) {
    const float factor = strip.matrix[j * strip.stride + k];
    Feed(strip.x + k * kPanelRows, step, k == j ? factor + strip.added : factor);
  }
  for (int row = 0; row < kPanelRows; ++row) strip.change[j * kPanelRows + row] += step[row];
}

void Refine(Strip& strip) {
  for (int j = 0; j < kStrip; ++j) {
    Lane step;
    for (int row = 0; row < kPanelRows; ++row) {
      const int at = j * kPanelRows + row;
      const float before = strip.decoded[at];
      Place(strip, j, row, before + strip.x[at] * strip.unit[j]);
      step[row] = strip.decoded[at] - before;
    }
    Move(strip, j, step);
  }
}

void Rescale(Strip& strip) {
  for (int j = 0; j < kStrip; ++j) {
    const int sub = j / strip.sub_weights();
    Lane step;
    for (int row = 0; row < kPanelRows; ++row) {
      const int at = j * kPanelRows + row;
      const float before = strip.decoded[at];
      strip.decoded[at] = strip.scale[sub][row] * strip.value[at] - strip.min[sub][row];
      step[row] = strip.decoded[at] - before;
    }
    Move(strip, j, step);
  }
}

void Sum(const Strip& strip, int sub, SubSums& sums) {
  const int first = sub * strip.sub_weights(), end = first + strip.sub_weights();
  sums = {};
  for (int i = first; i < end; ++i) {
    const float* h = strip.matrix + i * strip.stride;
    float all = strip.added;
    for (int k = first; k < end; ++k) all += h[k];
    sums.H += all;
    for (int row = 0; row < kPanelRows; ++row) {
      const float v = strip.value[i * kPanelRows + row], g = strip.x[i * kPanelRows + row];
      float below = 0.0f;
      for (int k = first; k < i; ++k) below += h[k] * strip.value[k * kPanelRows + row];
      sums.g[row] += g;
      sums.gv[row] += g * v;
      sums.vH[row] += all * v;
      sums.vHv[row] += v * ((below + below) + (h[i] + strip.added) * v);
    }
  }
}

}  // namespace

const Kernels& ScalarKernels() {
  static constexpr Kernels kKernels = {"PLAIN", Round, Refine, Sum, Rescale};
  return kKernels;
}

}  // namespace nashswarm::feedback
