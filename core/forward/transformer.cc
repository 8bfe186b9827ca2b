#include "core/forward/transformer.h"

#include <utility>

#include "core/base/status.h"
#include "core/forward/decoder.h"

namespace nashswarm::forward {

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Open(std::shared_ptr<const Weights> weights, Options options) {
  return Decoder::Open(std::move(weights), options);
}

absl::Status Transformer::Run(const Batch& batch, float* hidden, InputTap* tap) {
  NS_RETURN_IF_ERROR(Embed(batch, hidden));
  for (uint64_t layer = 0; layer < layers(); ++layer) {
    NS_RETURN_IF_ERROR(RunLayer(layer, batch.windows, batch.length, hidden, tap, nullptr));
  }
  return FinalNorm(batch.windows * batch.length, hidden, tap);
}

}  // namespace nashswarm::forward
