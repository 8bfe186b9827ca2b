#include "core/forward/decoder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/blas/blas.h"
#include "core/forward/kernels.h"
#include "core/forward/session.h"

namespace nashswarm::forward {
namespace {

// Rows and vocabulary of one BLAS call of the head. A piece of vocabulary is also what a thread reads at a time when the
// head is not kept.
constexpr uint64_t kHeadRows = 256, kHeadPiece = 512;

uint64_t DivideUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

bool SizesOverflow(uint64_t rows, uint64_t columns) {
  const auto count = CheckedMul(rows, columns);
  return !count.has_value() || !CheckedMul(*count, sizeof(float)).has_value();
}

absl::Status TooLarge(const std::string& model) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                   absl::StrCat(model, ": the activations of this batch are beyond all measure"), "run fewer windows at a time");
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Weights> weights, ModelConfig config, Options options)
    : weights_(std::move(weights)),
      config_(std::move(config)),
      pool_(ResolveThreads(options.threads)),
      pass_(config_, pool_),
      rope_(config_, /*local=*/false),
      local_rope_(config_, /*local=*/true),
      bytes_left_(options.weight_bytes),
      kept_(config_.layers),
      head_rows_(pool_.threads()) {
  blas::UseSingleThreadedBlas();
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Open(std::shared_ptr<const Weights> weights, Options options) {
  NS_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(*weights));
  for (uint64_t layer = 0; layer < config.layers; ++layer) NS_RETURN_IF_ERROR(CheckLayer(config, *weights, layer));
  std::unique_ptr<Decoder> decoder(new Decoder(std::move(weights), std::move(config), options));
  NS_RETURN_IF_ERROR(decoder->LoadFinalNorm());
  return decoder;
}

absl::Status Decoder::LoadFinalNorm() {
  final_norm_.weight.resize(config_.width);
  NS_RETURN_IF_ERROR(weights_->Read("output_norm.weight", 0, 1, final_norm_.weight.data()));
  if (!config_.layer_norm) return absl::OkStatus();
  final_norm_.bias.resize(config_.width);
  return weights_->Read("output_norm.bias", 0, 1, final_norm_.bias.data());
}

absl::Status Decoder::NonFinite(const std::string& where, const std::string& tensor) const {
  return MakeError(absl::StatusCode::kDataLoss, "NON_FINITE_ACTIVATIONS",
                   absl::StrCat(weights_->name(), ": the result of ", where, " is not finite",
                                tensor.empty() ? "" : absl::StrCat(": tensor '", tensor, "' has a NaN or infinite weight")),
                   tensor.empty() ? "its activations exceed 32-bit floats" : "the file is damaged: fetch or make it again");
}

absl::Status Decoder::CheckLength(uint64_t length) const {
  if (length <= config_.context) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_LONG",
                   absl::StrCat(weights_->name(), ": a window of ", length, " tokens; the model was made for ", config_.context),
                   absl::StrCat("use windows of at most ", config_.context, " tokens"));
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
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint64_t>(tokens[i]) < config_.vocabulary) continue;
    return MakeError(absl::StatusCode::kOutOfRange, "TOKEN_OUT_OF_RANGE",
                     absl::StrCat(weights_->name(), ": token ", tokens[i], " at ", i, " is not in the vocabulary of ",
                                  config_.vocabulary),
                     "the tokens were made for another model");
  }
  if (SizesOverflow(tokens.size(), std::max(config_.qkv_width(), 2 * config_.ffn))) return TooLarge(weights_->name());
  const Kernels& kernels = ActiveKernels();
  const uint64_t width = config_.width;
  return pool_.Run(tokens.size(), [&](uint64_t i, int thread) -> absl::Status {
    float* x = hidden + i * width;
    NS_RETURN_IF_ERROR(weights_->Read("token_embd.weight", tokens[i], 1, x));
    const bool token_ok = kernels.finite(x, width);
    if (config_.embedding_scale != 1) kernels.scale(x, config_.embedding_scale, width);
    if (config_.position_embedding) {
      std::vector<float>& position = head_rows_[thread];
      position.resize(std::max<size_t>(position.size(), width));
      NS_RETURN_IF_ERROR(weights_->Read("position_embd.weight", first + i % length, 1, position.data()));
      kernels.add(position.data(), width, x);
    }
    if (kernels.finite(x, width)) return absl::OkStatus();
    return NonFinite(absl::StrCat("embedding token ", tokens[i]), token_ok ? "position_embd.weight" : "token_embd.weight");
  });
}

absl::StatusOr<const LayerWeights*> Decoder::LayerOf(uint64_t layer, const Weights* instead) {
  if (instead != nullptr) {
    NS_RETURN_IF_ERROR(LoadLayer(config_, *instead, layer, pool_, &passing_));
    return &passing_;
  }
  if (kept_[layer] != nullptr) return kept_[layer].get();
  const uint64_t bytes = LayerBytes(config_);
  if (bytes > bytes_left_) {
    NS_RETURN_IF_ERROR(LoadLayer(config_, *weights_, layer, pool_, &passing_));
    return &passing_;
  }
  auto loaded = std::make_unique<LayerWeights>();
  NS_RETURN_IF_ERROR(LoadLayer(config_, *weights_, layer, pool_, loaded.get()));
  bytes_left_ -= bytes;
  kept_[layer] = std::move(loaded);
  return kept_[layer].get();
}

const RopeTable* Decoder::RopeOf(uint64_t layer, uint64_t positions) {
  if (config_.position_embedding) return nullptr;
  RopeTable& rope = config_.WindowOf(layer) > 0 ? local_rope_ : rope_;
  rope.Cover(positions);
  return &rope;
}

absl::Status Decoder::Run(LayerCall call, const Weights* instead) {
  if (call.layer >= config_.layers) {
    return MakeError(absl::StatusCode::kOutOfRange, "LAYER_OUT_OF_RANGE",
                     absl::StrCat(weights_->name(), ": there is no layer ", call.layer, " of ", config_.layers));
  }
  if (call.windows == 0 || call.length == 0) return absl::OkStatus();
  const auto rows = CheckedMul(call.windows, call.length);
  if (!rows.has_value() || SizesOverflow(*rows, std::max(config_.qkv_width(), 2 * config_.ffn))) {
    return TooLarge(weights_->name());
  }
  NS_ASSIGN_OR_RETURN(call.weights, LayerOf(call.layer, instead));
  if (router_) call.router = &router_;
  call.rope = RopeOf(call.layer, call.length + (call.cache != nullptr ? call.cache->first : 0));
  if (pass_.Run(call)) return absl::OkStatus();
  return NonFinite(absl::StrCat("layer ", call.layer),
                   NonFiniteTensor(config_, instead != nullptr ? *instead : *weights_, call.layer));
}

absl::Status Decoder::RunLayer(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, InputTap* tap,
                               const Weights* instead) {
  NS_RETURN_IF_ERROR(CheckLength(length));
  LayerCall call{};
  call.layer = layer;
  call.windows = windows;
  call.length = length;
  call.hidden = hidden;
  call.tap = tap;
  return Run(call, instead);
}

absl::Status Decoder::RunCached(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, const LayerCache& cache) {
  LayerCall call{};
  call.layer = layer;
  call.windows = windows;
  call.length = length;
  call.hidden = hidden;
  call.cache = &cache;
  return Run(call, nullptr);
}

absl::Status Decoder::FinalNorm(uint64_t rows, float* hidden, InputTap* tap) {
  pass_.NormRows(final_norm_, hidden, rows, hidden);
  if (!ActiveKernels().finite(hidden, rows * config_.width)) {
    const auto finite = [](const std::vector<float>& x) { return ActiveKernels().finite(x.data(), x.size()); };
    const char* bias = finite(final_norm_.bias) ? "" : "output_norm.bias";
    return NonFinite("the final norm", finite(final_norm_.weight) ? bias : "output_norm.weight");
  }
  if (tap != nullptr) tap->Input("head_in", hidden, rows, config_.width);
  return absl::OkStatus();
}

absl::Status Decoder::KeepHead() {
  // Both factors are those of a tensor that exists.
  const uint64_t bytes = config_.vocabulary * config_.width * sizeof(float);
  if (!head_.empty() || bytes > bytes_left_) return absl::OkStatus();
  std::vector<float> head(config_.vocabulary * config_.width);
  NS_RETURN_IF_ERROR(ReadHead(0, config_.vocabulary, head.data()));
  bytes_left_ -= bytes;
  head_ = std::move(head);
  return absl::OkStatus();
}

absl::Status Decoder::ReadHead(uint64_t first, uint64_t count, float* out) {
  return pool_.Run(DivideUp(count, kHeadPiece), [&](uint64_t i, int) {
    const uint64_t row = i * kHeadPiece;
    return weights_->Read(head_tensor(), first + row, std::min(kHeadPiece, count - row), out + row * config_.width);
  });
}

absl::StatusOr<const float*> Decoder::HeadRows(uint64_t first, uint64_t count, std::vector<float>* room) {
  NS_RETURN_IF_ERROR(KeepHead());
  if (!head_.empty()) return head_.data() + first * config_.width;
  room->resize(std::max<size_t>(room->size(), count * config_.width));
  NS_RETURN_IF_ERROR(ReadHead(first, count, room->data()));
  return room->data();
}

void Decoder::HeadPiece(const float* normed, uint64_t rows, const float* head, uint64_t first, uint64_t count,
                        float* logits) const {
  for (uint64_t row = 0; row < rows; row += kHeadRows) {
    MultiplyTransposed(std::min(kHeadRows, rows - row), count, config_.width, normed + row * config_.width, config_.width,
                       head, config_.width, 0, logits + row * config_.vocabulary + first, config_.vocabulary);
  }
}

absl::Status Decoder::Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead) {
  if (rows == 0) return absl::OkStatus();
  if (instead == nullptr) {
    NS_RETURN_IF_ERROR(KeepHead());
  } else {
    NS_RETURN_IF_ERROR(CheckTensor(*instead, head_tensor(), config_.vocabulary, config_.width));
  }
  const bool kept = instead == nullptr && !head_.empty();
  const Weights& source = instead != nullptr ? *instead : *weights_;
  const uint64_t width = config_.width, pieces = DivideUp(config_.vocabulary, kHeadPiece);
  // With the head at hand rows are shared too; otherwise each piece of it is read once, for all rows.
  const uint64_t row_blocks = kept ? DivideUp(rows, kHeadRows) : 1;
  return pool_.Run(pieces * row_blocks, [&](uint64_t i, int thread) -> absl::Status {
    const uint64_t first = i / row_blocks * kHeadPiece, count = std::min(kHeadPiece, config_.vocabulary - first);
    const uint64_t row = i % row_blocks * kHeadRows, row_count = row_blocks == 1 ? rows : std::min(kHeadRows, rows - row);
    const float* head = kept ? head_.data() + first * width : nullptr;
    if (!kept) {
      head_rows_[thread].resize(std::max<size_t>(head_rows_[thread].size(), kHeadPiece * width));
      NS_RETURN_IF_ERROR(source.Read(head_tensor(), first, count, head_rows_[thread].data()));
      head = head_rows_[thread].data();
    }
    HeadPiece(normed + row * width, row_count, head, first, count, logits + row * config_.vocabulary);
    for (uint64_t r = row; r < row + row_count; ++r) {
      if (ActiveKernels().finite(logits + r * config_.vocabulary + first, count)) continue;
      return NonFinite("the head", ActiveKernels().finite(head, count * width) ? "" : head_tensor());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::unique_ptr<Transformer::Session>> Decoder::Start(uint64_t windows, uint64_t capacity) {
  return DecoderSession::Make(*this, windows, capacity);
}

}  // namespace nashswarm::forward
