// The reference kernels: plain loops. kernels_simd.cc computes the same, a vector at a time.
#include <algorithm>
#include <cmath>

#include "core/forward/elements.h"
#include "core/forward/kernels.h"

namespace nashswarm::forward {
namespace {

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* y) {
  double squares[kPartialDoubles] = {};
  for (size_t i = 0; i < n; ++i) squares[i % kPartialDoubles] += static_cast<double>(x[i]) * x[i];
  const double mean = Total(squares, kPartialDoubles) / static_cast<double>(n);
  const float inverse = static_cast<float>(1 / std::sqrt(mean + epsilon));
  for (size_t i = 0; i < n; ++i) y[i] = x[i] * inverse * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* y) {
  double sum[kPartialDoubles] = {}, squares[kPartialDoubles] = {};
  for (size_t i = 0; i < n; ++i) sum[i % kPartialDoubles] += x[i];
  const double mean = Total(sum, kPartialDoubles) / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) {
    const double centred = x[i] - mean;
    squares[i % kPartialDoubles] += centred * centred;
  }
  const double variance = Total(squares, kPartialDoubles) / static_cast<double>(n);
  const float shift = static_cast<float>(mean), inverse = static_cast<float>(1 / std::sqrt(variance + epsilon));
  for (size_t i = 0; i < n; ++i) y[i] = (x[i] - shift) * inverse * weight[i] + bias[i];
}

void SiluGate(const float* x, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = SiluOf(x[i]) * up[i];
}

void GeluGate(const float* x, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = GeluOf(x[i]) * up[i];
}

void ReluSquaredGate(const float* x, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = ReluSquaredOf(x[i]) * up[i];
}

void Silu(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = SiluOf(x[i]);
}

void ReluSquared(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = ReluSquaredOf(x[i]);
}

void Gelu(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = GeluOf(x[i]);
}

void RotateHalves(float* x, const float* cos, const float* sin, size_t half) {
  for (size_t i = 0; i < half; ++i) RotateOf(x[i], x[half + i], cos[i], sin[i]);
}

void RotatePairs(float* x, const float* cos, const float* sin, size_t half) {
  for (size_t i = 0; i < half; ++i) RotateOf(x[2 * i], x[2 * i + 1], cos[i], sin[i]);
}

float Dot(const float* x, const float* y, size_t n) {
  float sums[kPartialFloats] = {};
  for (size_t i = 0; i < n; ++i) sums[i % kPartialFloats] += x[i] * y[i];
  return Total(sums, kPartialFloats);
}

float Max(const float* x, size_t n) { return *std::max_element(x, x + n); }

float ExpSum(float* x, float shift, size_t n) {
  float sums[kPartialFloats] = {};
  for (size_t i = 0; i < n; ++i) {
    x[i] = ExpOf(x[i] - shift);
    sums[i % kPartialFloats] += x[i];
  }
  return Total(sums, kPartialFloats);
}

void Scale(float* x, float factor, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] *= factor;
}

void Add(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] += x[i];
}

bool Finite(const float* x, size_t n) { return std::all_of(x, x + n, FiniteOf); }

}  // namespace

const Kernels& ScalarKernels() {
  static const Kernels kernels = {"PLAIN", RmsNorm, LayerNorm, SiluGate, GeluGate, ReluSquaredGate, Silu, Gelu, ReluSquared,
                                  RotateHalves, RotatePairs, Dot, Max, ExpSum, Scale, Add, Finite};
  return kernels;
}

}  // namespace nashswarm::forward
