// Norms of rows, and the way back through them.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_NORM_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_NORM_H_

#include <cstdint>
#include <string>

#include "core/forward/hyperparameters.h"
#include "core/forward/matrix.h"
#include "core/forward/slots.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct NormConfig {
  model::NormKind kind = model::NormKind::kRms;
  float epsilon = 0;
  bool has_bias() const { return kind == model::NormKind::kLayer; }
};
NormConfig ReadNorm(const model::Design& design, Hyperparameters* read);

// The norm `name` of a layer, over rows of `width`.
void AddNorm(const NormConfig& config, const std::string& name, uint64_t width, Norm* to, Slots* slots);
// out = norm(x), a row of `width`; in place when they are the same.
void NormRow(const NormConfig& config, const Norm& norm, const float* x, uint64_t width, float* out);
// g, the gradient at norm(x), becomes the one at x.
void NormRowDerivative(const NormConfig& config, const Norm& norm, const float* x, uint64_t width, float* g);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_NORM_H_
