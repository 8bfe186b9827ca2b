#include "core/forward/backward.h"

#include <algorithm>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/forward/errors.h"

namespace nashswarm::forward {

absl::Status Backward::Run(const Batch& batch, const Targets& targets, GradientTap& tap, const Step& step) {
  rows_ = batch.tokens.size();
  NS_RETURN_IF_ERROR(RunForward(batch, step));
  gradient_.resize(rows_ * decoder_.width());
  NS_RETURN_IF_ERROR(decoder_.head().Backward(Hidden(decoder_.layers()), rows_, targets, tap, gradient_.data()));
  NS_RETURN_IF_ERROR(step(decoder_.layers() + 1));
  for (uint64_t layer = decoder_.layers(); layer-- > 0;) {
    LayerGradientCall call;
    call.layer = layer;
    call.windows = batch.windows;
    call.length = batch.length;
    call.input = Hidden(layer);
    call.gradient = gradient_.data();
    call.tap = &tap;
    NS_RETURN_IF_ERROR(decoder_.RunLayerBack(call));
    NS_RETURN_IF_ERROR(step(2 * decoder_.layers() + 1 - layer));
  }
  decoder_.embedding().Backward(rows_, gradient_.data(), tap);
  return absl::OkStatus();
}

absl::Status Backward::RunForward(const Batch& batch, const Step& step) {
  const auto values = CheckedMul(rows_ * decoder_.width(), decoder_.layers() + 1);
  if (!values.has_value() || !CheckedMul(*values, sizeof(float)).has_value()) return BatchTooLarge(decoder_.name());
  hidden_.resize(*values);
  NS_RETURN_IF_ERROR(decoder_.Embed(batch, Hidden(0)));
  for (uint64_t layer = 0; layer < decoder_.layers(); ++layer) {
    std::copy_n(Hidden(layer), rows_ * decoder_.width(), Hidden(layer + 1));
    NS_RETURN_IF_ERROR(decoder_.RunLayer(layer, batch.windows, batch.length, Hidden(layer + 1), nullptr, nullptr));
    NS_RETURN_IF_ERROR(step(layer + 1));
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::forward
