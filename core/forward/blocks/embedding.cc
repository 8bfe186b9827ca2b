#include "core/forward/blocks/embedding.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/forward/errors.h"
#include "core/forward/hyperparameters.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"

namespace nashswarm::forward {
namespace {

constexpr char kTokens[] = "token_embd.weight", kPositions[] = "position_embd.weight";

}  // namespace

absl::StatusOr<EmbeddingConfig> ReadEmbedding(const model::Design& design, uint64_t width, uint64_t context, const Weights& weights) {
  EmbeddingConfig config{.width = width, .learned_positions = design.learned_positions, .positions = context};
  if (design.scaled_embedding) config.scale = static_cast<float>(std::sqrt(static_cast<double>(width)));
  const WeightShape* table = weights.Find(kTokens);
  if (table != nullptr) config.vocabulary = table->rows;
  NS_RETURN_IF_ERROR(CheckTensor(weights, kTokens, config.vocabulary, width));
  if (config.vocabulary == 0 || config.vocabulary > kMaxExtent) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_SHAPE",
                     absl::StrCat(weights.name(), ": '", kTokens, "' has no usable number of rows"));
  }
  if (config.learned_positions) NS_RETURN_IF_ERROR(CheckTensor(weights, kPositions, context, width));
  return config;
}

absl::Status Embedding::CheckTokens(absl::Span<const int32_t> tokens) const {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint64_t>(tokens[i]) < config_.vocabulary) continue;
    return MakeError(absl::StatusCode::kOutOfRange, "TOKEN_OUT_OF_RANGE",
                     absl::StrCat(weights_.name(), ": token ", tokens[i], " at ", i, " is not in the vocabulary of ", config_.vocabulary),
                     "the tokens were made for another model");
  }
  return absl::OkStatus();
}

absl::Status Embedding::Forward(absl::Span<const int32_t> tokens, uint64_t length, uint64_t first, float* hidden) {
  const Kernels& kernels = ActiveKernels();
  const uint64_t width = config_.width;
  return pool_.Run(tokens.size(), [&](uint64_t i, int thread) -> absl::Status {
    float* x = hidden + i * width;
    NS_RETURN_IF_ERROR(weights_.Read(kTokens, tokens[i], 1, x));
    const bool token_ok = kernels.finite(x, width);
    if (config_.scale != 1) kernels.scale(x, config_.scale, width);
    if (config_.learned_positions) {
      float* position = Room(rows_[thread], width);
      NS_RETURN_IF_ERROR(weights_.Read(kPositions, first + i % length, 1, position));
      kernels.add(position, width, x);
    }
    if (kernels.finite(x, width)) return absl::OkStatus();
    return NonFiniteActivations(weights_.name(), absl::StrCat("embedding token ", tokens[i]), token_ok ? kPositions : kTokens);
  });
}

void Embedding::Backward(uint64_t rows, float* gradient, GradientTap& tap) const {
  ActiveKernels().scale(gradient, config_.scale, rows * config_.width);
  tap.Embedding({gradient, config_.width, 0, rows, config_.width});
}

}  // namespace nashswarm::forward
