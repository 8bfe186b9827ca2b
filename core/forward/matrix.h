// Weights of a layer as floats.
#ifndef NASHSWARM_CORE_FORWARD_MATRIX_H_
#define NASHSWARM_CORE_FORWARD_MATRIX_H_

#include <cstdint>
#include <vector>

namespace nashswarm::forward {

struct Matrix {
  std::vector<float> weight;  // outputs x inputs
  std::vector<float> bias;    // one an output, or empty
  uint64_t outputs = 0, inputs = 0;
};

struct Norm {
  std::vector<float> weight, bias;  // bias of layer norms only; empty weight: there is no such norm
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_MATRIX_H_
