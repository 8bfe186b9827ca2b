// Derivatives of the parts of a layer that are no matrices, a row of a token at a time. g is the gradient at the output of a
// part; what comes out is the gradient at its input.
#ifndef NASHSWARM_CORE_FORWARD_DERIVATIVES_H_
#define NASHSWARM_CORE_FORWARD_DERIVATIVES_H_

#include <cstdint>

#include "core/model/design.h"

namespace nashswarm::forward {

// Of y = x / r * weight, r = sqrt(mean(x^2) + epsilon): (g weight - x mean(g weight x) / r^2) / r. In place of g.
void RmsNormDerivative(const float* x, const float* weight, float epsilon, uint64_t n, float* g);
// Of y = z weight + bias, z = (x - mean) / s, s = sqrt(variance + epsilon): (g weight - mean(g weight) -
// z mean(g weight z)) / s. In place of g.
void LayerNormDerivative(const float* x, const float* weight, float epsilon, uint64_t n, float* g);

using model::Activation;

// Of y = activation(x): x becomes g activation'(x).
void ActivationDerivative(Activation activation, const float* g, uint64_t n, float* x);
// Of y = activation(x) up: x becomes g up activation'(x), and up becomes g activation(x).
void GateDerivative(Activation activation, const float* g, uint64_t n, float* x, float* up);

// Of y = softmax(s): p (g - sum p g), p the probabilities. In place of g.
void SoftmaxDerivative(const float* p, uint64_t n, float* g);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_DERIVATIVES_H_
