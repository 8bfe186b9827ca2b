#include "core/forward/backward.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

absl::Status NonFinite(const std::string& model, const std::string& where) {
  return MakeError(absl::StatusCode::kDataLoss, "NON_FINITE_GRADIENTS",
                   absl::StrCat(model, ": the gradient at the input of ", where, " is not finite"),
                   "its gradients exceed 32-bit floats");
}

}  // namespace

Backward::Backward(Decoder& decoder)
    : decoder_(decoder), head_(decoder), layer_(decoder.config(), decoder.pool(), decoder.pass()) {}

absl::Status Backward::Run(const Batch& batch, const Targets& targets, GradientTap& tap, const Step& step) {
  rows_ = batch.tokens.size();
  NS_RETURN_IF_ERROR(RunForward(batch, step));
  NS_RETURN_IF_ERROR(RunHead(targets, tap));
  NS_RETURN_IF_ERROR(step(decoder_.layers() + 1));
  for (uint64_t layer = decoder_.layers(); layer-- > 0;) {
    NS_RETURN_IF_ERROR(RunLayerBack(layer, batch, tap));
    NS_RETURN_IF_ERROR(step(2 * decoder_.layers() + 1 - layer));
  }
  ActiveKernels().scale(gradient_.data(), decoder_.config().embedding_scale, gradient_.size());
  tap.Embedding({gradient_.data(), decoder_.width(), 0, rows_, decoder_.width()});
  return absl::OkStatus();
}

absl::Status Backward::RunForward(const Batch& batch, const Step& step) {
  const auto values = CheckedMul(rows_ * decoder_.width(), decoder_.layers() + 1);
  if (!values.has_value() || !CheckedMul(*values, sizeof(float)).has_value()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                     absl::StrCat(decoder_.name(), ": the activations of this batch are beyond all measure"));
  }
  hidden_.resize(*values);
  NS_RETURN_IF_ERROR(decoder_.Embed(batch, Hidden(0)));
  for (uint64_t layer = 0; layer < decoder_.layers(); ++layer) {
    std::copy_n(Hidden(layer), rows_ * decoder_.width(), Hidden(layer + 1));
    NS_RETURN_IF_ERROR(decoder_.RunLayer(layer, batch.windows, batch.length, Hidden(layer + 1), nullptr, nullptr));
    NS_RETURN_IF_ERROR(step(layer + 1));
  }
  return absl::OkStatus();
}

absl::Status Backward::RunHead(const Targets& targets, GradientTap& tap) {
  const ModelConfig& config = decoder_.config();
  const uint64_t width = config.width;
  const float* hidden = Hidden(config.layers);
  normed_.assign(hidden, hidden + rows_ * width);
  gradient_.resize(rows_ * width);
  NS_RETURN_IF_ERROR(decoder_.FinalNorm(rows_, normed_.data(), nullptr));
  NS_RETURN_IF_ERROR(head_.Run(normed_.data(), rows_, targets, tap, gradient_.data()));
  const auto derivative = config.layer_norm ? LayerNormDerivative : RmsNormDerivative;
  ForRows(decoder_.pool(), rows_, [&](uint64_t row, int) {
    derivative(hidden + row * width, decoder_.final_norm().weight.data(), config.epsilon, width, &gradient_[row * width]);
  });
  if (ActiveKernels().finite(gradient_.data(), gradient_.size())) return absl::OkStatus();
  return NonFinite(decoder_.name(), "the final norm");
}

absl::Status Backward::RunLayerBack(uint64_t layer, const Batch& batch, GradientTap& tap) {
  LayerGradientCall call{};
  call.layer = layer;
  NS_ASSIGN_OR_RETURN(call.weights, decoder_.LayerOf(layer, nullptr));
  call.rope = decoder_.RopeOf(layer, batch.length);
  call.windows = batch.windows;
  call.length = batch.length;
  call.input = Hidden(layer);
  call.gradient = gradient_.data();
  call.tap = &tap;
  return layer_.Run(call) ? absl::OkStatus() : NonFinite(decoder_.name(), absl::StrCat("layer ", layer));
}

}  // namespace nashswarm::forward
