// Where the residual stream begins: rows of embeddings, read from the model as they are needed.
// Tensors: token_embd, position_embd.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_EMBEDDING_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_EMBEDDING_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/weights.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct EmbeddingConfig {
  uint64_t width = 0, vocabulary = 0;
  float scale = 1;                 // of token_embd's rows
  bool learned_positions = false;  // rows of position_embd are added
  uint64_t positions = 0;          // of those
};
// The vocabulary is what the tensor has. INVALID_ARGUMENT with MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE.
absl::StatusOr<EmbeddingConfig> ReadEmbedding(const model::Design& design, uint64_t width, uint64_t context, const Weights& weights);

class Embedding {
 public:
  // All outlive this.
  Embedding(const EmbeddingConfig& config, const Weights& weights, ThreadPool& pool)
      : config_(config), weights_(weights), pool_(pool), rows_(pool.threads()) {}

  // OUT_OF_RANGE / TOKEN_OUT_OF_RANGE
  absl::Status CheckTokens(absl::Span<const int32_t> tokens) const;
  // Tokens in windows of `length`, whose first is at position `first`, that CheckTokens found right. DATA_LOSS /
  // NON_FINITE_ACTIVATIONS, and the errors of Weights::Read.
  absl::Status Forward(absl::Span<const int32_t> tokens, uint64_t length, uint64_t first, float* hidden);
  // `gradient`, rows x width at what Forward gave, becomes the one at the rows as they are stored, and `tap` hears it.
  void Backward(uint64_t rows, float* gradient, GradientTap& tap) const;

 private:
  const EmbeddingConfig& config_;
  const Weights& weights_;
  ThreadPool& pool_;
  std::vector<std::vector<float>> rows_;  // by thread: of a position
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_EMBEDDING_H_
