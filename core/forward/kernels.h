// The elementwise loops of the forward pass, behind a table of functions so that they run on every instruction set.
//
// The SIMD kernels agree with their scalar twins to the bit: the same operations in the same order, nothing fused
// (-ffp-contract=off, no FMA), and sums that are cut into a fixed number of partial sums whatever the vector length.
// NaN in, NaN out: no kernel hides one (but which NaN is not told).
#ifndef NASHSWARM_CORE_FORWARD_KERNELS_H_
#define NASHSWARM_CORE_FORWARD_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nashswarm::forward {

// Partial sums: entry k sums over the elements i with i % kPartial... = k.
constexpr size_t kPartialFloats = 16;
constexpr size_t kPartialDoubles = 8;

struct Kernels {
  std::string_view name;

  // y = x / sqrt(mean(x^2) + epsilon) * weight. y may be x.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, size_t n, float* y);
  // y = (x - mean) / sqrt(variance + epsilon) * weight + bias. y may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* y);
  // y = x * sigmoid(x) * up; y may be either input.
  void (*silu_gate)(const float* x, const float* up, size_t n, float* y);
  // y = gelu(x) * up by the tanh approximation (Hendrycks and Gimpel, 2016); y may be either input.
  void (*gelu_gate)(const float* x, const float* up, size_t n, float* y);
  // y = max(x, 0)^2 * up (So et al., "Primer", 2021); y may be either input.
  void (*relu_squared_gate)(const float* x, const float* up, size_t n, float* y);
  // The same without `up`. y may be x.
  void (*silu)(const float* x, size_t n, float* y);
  void (*gelu)(const float* x, size_t n, float* y);
  void (*relu_squared)(const float* x, size_t n, float* y);
  // Rotates the pairs (x[i], x[half + i]) by angles of cosine cos[i] and sine sin[i].
  void (*rotate_halves)(float* x, const float* cos, const float* sin, size_t half);
  // Rotates the pairs (x[2i], x[2i + 1]).
  void (*rotate_pairs)(float* x, const float* cos, const float* sin, size_t half);
  // The sum of x[i] y[i].
  float (*dot)(const float* x, const float* y, size_t n);
  // The greatest element; n > 0. Any NaN may be overlooked.
  float (*max)(const float* x, size_t n);
  // x = exp(x - shift); returns the sum.
  float (*exp_sum)(float* x, float shift, size_t n);
  // x *= factor
  void (*scale)(float* x, float factor, size_t n);
  // y += x
  void (*add)(const float* x, size_t n, float* y);
  // Neither NaN nor infinite, all of them.
  bool (*finite)(const float* x, size_t n);
};

const Kernels& ScalarKernels();
const Kernels& SimdKernels();    // for the best instruction set of this machine
const Kernels& ActiveKernels();  // one of the two, see ForceScalarKernels

// Runs the scalar reference (tests and benchmarks); thread-hostile.
void ForceScalarKernels(bool on);

// As in core/quant/kernels.h: the instruction sets this binary has kernels for and this machine runs, and their choice.
int64_t KernelTargets();
void UseKernelTarget(int64_t target);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_KERNELS_H_
