#include "core/forward/decoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/blas/blas.h"
#include "core/forward/errors.h"
#include "core/forward/session.h"

namespace nashswarm::forward {

Decoder::Decoder(std::shared_ptr<const Weights> weights, ModelConfig config, Options options)
    : weights_(std::move(weights)),
      config_(std::move(config)),
      pool_(ResolveThreads(options.threads)),
      budget_(options.weight_bytes),
      embedding_(config_.embedding, *weights_, pool_),
      layer_(config_, pool_),
      head_(config_.head, *weights_, budget_, pool_),
      kept_(config_.layers) {
  blas::UseSingleThreadedBlas();
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Open(std::shared_ptr<const Weights> weights, Options options) {
  NS_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(*weights));
  std::unique_ptr<Decoder> decoder(new Decoder(std::move(weights), std::move(config), options));
  for (uint64_t layer = 0; layer < decoder->layers(); ++layer) NS_RETURN_IF_ERROR(decoder->layer_.Check(*decoder->weights_, layer));
  NS_RETURN_IF_ERROR(decoder->head_.Load());
  return decoder;
}

absl::Status Decoder::CheckLength(uint64_t length) const {
  if (length <= config_.context) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_LONG",
                   absl::StrCat(weights_->name(), ": windows of ", length, " tokens; the model was made for ", config_.context),
                   absl::StrCat("use windows of at most ", config_.context, " tokens"));
}

absl::Status Decoder::CheckRows(uint64_t windows, uint64_t length) const {
  const auto rows = CheckedMul(windows, length);
  const auto values = rows.has_value() ? CheckedMul(*rows, std::max(config_.attention.qkv_width(), 2 * config_.hidden_units())) : rows;
  if (values.has_value() && CheckedMul(*values, sizeof(float)).has_value()) return absl::OkStatus();
  return BatchTooLarge(weights_->name());
}

absl::Status Decoder::Embed(const Batch& batch, float* hidden) {
  NS_RETURN_IF_ERROR(CheckLength(batch.length));
  const auto rows = CheckedMul(batch.windows, batch.length);
  if (!rows.has_value() || *rows != batch.tokens.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_SHAPE",
                     absl::StrCat(batch.tokens.size(), " tokens are not ", batch.windows, " windows of ", batch.length));
  }
  return EmbedAt(batch.tokens, batch.length, 0, hidden);
}

absl::Status Decoder::EmbedAt(absl::Span<const int32_t> tokens, uint64_t length, uint64_t first, float* hidden) {
  NS_RETURN_IF_ERROR(embedding_.CheckTokens(tokens));
  NS_RETURN_IF_ERROR(CheckRows(tokens.size(), 1));
  return embedding_.Forward(tokens, length, first, hidden);
}

absl::StatusOr<const LayerWeights*> Decoder::LayerOf(uint64_t layer, const Weights* instead) {
  if (instead != nullptr) {
    NS_RETURN_IF_ERROR(layer_.Load(*instead, layer, &passing_));
    return &passing_;
  }
  if (kept_[layer] != nullptr) return kept_[layer].get();
  const uint64_t bytes = LayerWeightFloats(config_) * sizeof(float);
  if (!budget_.Has(bytes)) {
    NS_RETURN_IF_ERROR(layer_.Load(*weights_, layer, &passing_));
    return &passing_;
  }
  auto loaded = std::make_unique<LayerWeights>();
  NS_RETURN_IF_ERROR(layer_.Load(*weights_, layer, loaded.get()));
  budget_.Take(bytes);
  kept_[layer] = std::move(loaded);
  return kept_[layer].get();
}

absl::Status Decoder::Run(LayerCall call, const Weights* instead) {
  if (call.layer >= config_.layers) {
    return MakeError(absl::StatusCode::kOutOfRange, "LAYER_OUT_OF_RANGE",
                     absl::StrCat(weights_->name(), ": there is no layer ", call.layer, " of ", config_.layers));
  }
  if (call.windows == 0 || call.length == 0) return absl::OkStatus();
  NS_RETURN_IF_ERROR(CheckRows(call.windows, call.length));
  NS_ASSIGN_OR_RETURN(call.weights, LayerOf(call.layer, instead));
  if (router_) call.router = &router_;
  if (layer_.Forward(call)) return absl::OkStatus();
  return NonFiniteActivations(weights_->name(), absl::StrCat("layer ", call.layer),
                              layer_.NonFiniteTensor(instead != nullptr ? *instead : *weights_, call.layer));
}

absl::Status Decoder::RunLayer(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, InputTap* tap,
                               const Weights* instead) {
  NS_RETURN_IF_ERROR(CheckLength(length));
  LayerCall call;
  call.layer = layer;
  call.windows = windows;
  call.length = length;
  call.hidden = hidden;
  call.tap = tap;
  return Run(call, instead);
}

absl::Status Decoder::RunRemembering(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, LayerState* state,
                                     uint64_t capacity, uint64_t first) {
  LayerCall call;
  call.layer = layer;
  call.windows = windows;
  call.length = length;
  call.hidden = hidden;
  call.state = state;
  call.capacity = capacity;
  call.first = first;
  return Run(call, nullptr);
}

absl::Status Decoder::RunLayerBack(LayerGradientCall call) {
  NS_ASSIGN_OR_RETURN(call.weights, LayerOf(call.layer, nullptr));
  return layer_.Backward(call) ? absl::OkStatus() : NonFiniteGradients(name(), absl::StrCat("layer ", call.layer));
}

absl::StatusOr<std::unique_ptr<Transformer::Session>> Decoder::Start(uint64_t windows, uint64_t capacity) {
  return DecoderSession::Make(*this, windows, capacity);
}

}  // namespace nashswarm::forward
