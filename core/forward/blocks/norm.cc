#include "core/forward/blocks/norm.h"

#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"

namespace nashswarm::forward {

NormConfig ReadNorm(const model::Design& design, Hyperparameters* read) {
  const bool layer_norm = design.norm == model::NormKind::kLayer;
  return {design.norm, static_cast<float>(read->Real(layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"))};
}

void AddNorm(const NormConfig& config, const std::string& name, uint64_t width, Norm* to, Slots* slots) {
  slots->AddVector(name + ".weight", width, &to->weight);
  if (config.has_bias()) slots->AddVector(name + ".bias", width, &to->bias);
}

void NormRow(const NormConfig& config, const Norm& norm, const float* x, uint64_t width, float* out) {
  if (config.kind == model::NormKind::kLayer) {
    ActiveKernels().layer_norm(x, norm.weight.data(), norm.bias.data(), config.epsilon, width, out);
  } else {
    ActiveKernels().rms_norm(x, norm.weight.data(), config.epsilon, width, out);
  }
}

void NormRowDerivative(const NormConfig& config, const Norm& norm, const float* x, uint64_t width, float* g) {
  const auto derivative = config.kind == model::NormKind::kLayer ? LayerNormDerivative : RmsNormDerivative;
  derivative(x, norm.weight.data(), config.epsilon, width, g);
}

}  // namespace nashswarm::forward
