#include "core/forward/derivatives.h"

#include <algorithm>
#include <cmath>

#include "core/forward/elements.h"
#include "core/forward/kernels.h"

namespace nashswarm::forward {
namespace {

// sum of of(i) over [0, n), cut into partial sums that fill vectors, added up in a fixed order.
template <typename Of>
double Sum(uint64_t n, Of of) {
  double partial[kPartialDoubles] = {};
  uint64_t i = 0;
  for (; i + kPartialDoubles <= n; i += kPartialDoubles) {
    for (size_t k = 0; k < kPartialDoubles; ++k) partial[k] += of(i + k);
  }
  for (size_t k = 0; i < n; ++i, ++k) partial[k] += of(i);
  return Total(partial, kPartialDoubles);
}

// SiLU and GELU are x sigma(z), sigma(z) = 1 / (1 + exp(-z)): z = x, or 2 sqrt(2/pi) (x + 0.044715 x^3). So the derivative
// is sigma + x sigma (1 - sigma) dz/dx.
constexpr uint64_t kBlock = 256;  // elements at a time: their exponentials stay in the first-level cache
constexpr float kStraight = 32;   // beyond this sigma is 0 or 1 in floats, and the activation a straight line
struct Sigmoids {
  Sigmoids(Activation activation, const float* x, uint64_t n) : gelu(activation == Activation::kGelu) {
    for (uint64_t i = 0; i < n; ++i) sigma[i] = gelu ? kGeluSlope * (x[i] + kGeluCubic * (x[i] * x[i] * x[i])) : -x[i];
    ActiveKernels().exp_sum(sigma, 0, n);
    for (uint64_t i = 0; i < n; ++i) sigma[i] = 1 / (1 + sigma[i]);
  }
  float Slope(uint64_t i, float x) const {
    const float near = std::clamp(x, -kStraight, kStraight);  // its square must not overflow
    const float inner = gelu ? -kGeluSlope * (1 + 3 * kGeluCubic * (near * near)) : 1;
    return sigma[i] + near * sigma[i] * (1 - sigma[i]) * inner;
  }
  const bool gelu;
  float sigma[kBlock];
};

}  // namespace

void RmsNormDerivative(const float* x, const float* weight, float epsilon, uint64_t n, float* g) {
  const double count = static_cast<double>(n);
  const double mean = Sum(n, [&](uint64_t i) { return static_cast<double>(x[i]) * x[i]; }) / count;
  const double along = Sum(n, [&](uint64_t i) { return static_cast<double>(g[i] * weight[i]) * x[i]; }) / count;
  const double inverse = 1 / std::sqrt(mean + epsilon);
  const float scale = static_cast<float>(inverse), back = static_cast<float>(along * inverse * inverse);
  for (uint64_t i = 0; i < n; ++i) g[i] = (g[i] * weight[i] - x[i] * back) * scale;
}

void LayerNormDerivative(const float* x, const float* weight, float epsilon, uint64_t n, float* g) {
  const double count = static_cast<double>(n);
  const double mean = Sum(n, [&](uint64_t i) { return static_cast<double>(x[i]); }) / count;
  const double variance = Sum(n, [&](uint64_t i) { return (x[i] - mean) * (x[i] - mean); }) / count;
  const double level = Sum(n, [&](uint64_t i) { return static_cast<double>(g[i] * weight[i]); }) / count;
  const double along = Sum(n, [&](uint64_t i) { return static_cast<double>(g[i] * weight[i]) * (x[i] - mean); }) / count;
  const double inverse = 1 / std::sqrt(variance + epsilon);
  const float shift = static_cast<float>(mean), scale = static_cast<float>(inverse), flat = static_cast<float>(level),
              back = static_cast<float>(along * inverse * inverse);
  for (uint64_t i = 0; i < n; ++i) g[i] = (g[i] * weight[i] - flat - (x[i] - shift) * back) * scale;
}

void ActivationDerivative(Activation activation, const float* g, uint64_t n, float* x) {
  if (activation == Activation::kReluSquared) {
    for (uint64_t i = 0; i < n; ++i) x[i] = g[i] * (2 * std::max(x[i], 0.0f));
    return;
  }
  for (uint64_t first = 0; first < n; first += kBlock) {
    const uint64_t count = std::min(kBlock, n - first);
    const Sigmoids sigmoids(activation, x + first, count);
    for (uint64_t i = 0; i < count; ++i) x[first + i] = g[first + i] * sigmoids.Slope(i, x[first + i]);
  }
}

void GateDerivative(Activation activation, const float* g, uint64_t n, float* x, float* up) {
  if (activation == Activation::kReluSquared) {
    for (uint64_t i = 0; i < n; ++i) {
      const float above = std::max(x[i], 0.0f);
      x[i] = g[i] * up[i] * (2 * above);
      up[i] = g[i] * (above * above);
    }
    return;
  }
  for (uint64_t first = 0; first < n; first += kBlock) {
    const uint64_t count = std::min(kBlock, n - first);
    const Sigmoids sigmoids(activation, x + first, count);
    for (uint64_t i = 0; i < count; ++i) {
      const float at = x[first + i], gradient = g[first + i];
      x[first + i] = gradient * up[first + i] * sigmoids.Slope(i, at);
      up[first + i] = gradient * (at * sigmoids.sigma[i]);
    }
  }
}

void SoftmaxDerivative(const float* p, uint64_t n, float* g) {
  const float mean = static_cast<float>(Sum(n, [&](uint64_t i) { return static_cast<double>(p[i]) * g[i]; }));
  for (uint64_t i = 0; i < n; ++i) g[i] = p[i] * (g[i] - mean);
}

}  // namespace nashswarm::forward
