// Where the residual stream ends: the final norm, and the logits of the vocabulary. Its matrix is kept as floats when it fits
// the budget, and otherwise read piece by piece.
// Tensors: output_norm; output, or token_embd when that is tied.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_HEAD_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_HEAD_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/blocks/norm.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/input_tap.h"
#include "core/forward/matrix.h"
#include "core/forward/weight_budget.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

// The target of position `row` of the batch, given the model's prediction there. Called from several threads, once a row.
using Targets = std::function<int32_t(uint64_t row, absl::Span<const float> probabilities)>;

struct HeadConfig {
  NormConfig norm;
  uint64_t width = 0, vocabulary = 0;
  bool tied = false;

  const char* tensor() const { return tied ? "token_embd.weight" : "output.weight"; }
  uint64_t weight_floats() const { return vocabulary * width; }
};
// INVALID_ARGUMENT with MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE.
absl::StatusOr<HeadConfig> ReadHead(const NormConfig& norm, uint64_t width, uint64_t vocabulary, const Weights& weights);

class Head {
 public:
  // All outlive this.
  Head(const HeadConfig& config, const Weights& weights, WeightBudget& budget, ThreadPool& pool);

  absl::Status Load();  // the norm; before all else
  // Rows x width, in place. `tap` may be null. DATA_LOSS / NON_FINITE_ACTIVATIONS.
  absl::Status Normalize(uint64_t rows, float* hidden, InputTap* tap) const;
  // logits[rows x vocabulary] from normed hidden states. Threads share the rows and the vocabulary. `instead`: as in
  // Transformer::RunLayer.
  absl::Status Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead);

  // Loss = sum over rows of -log p(target | what is before it). `hidden`: what the norm reads, rows x width; `gradient` becomes
  // the loss's at it, and `tap` hears the probabilities. DATA_LOSS / NON_FINITE_GRADIENTS, and the errors of Logits.
  absl::Status Backward(const float* hidden, uint64_t rows, const Targets& targets, GradientTap& tap, float* gradient);

 private:
  absl::Status Keep();
  absl::Status ReadRows(uint64_t first, uint64_t count, float* out) const;
  // Rows [first, first + count) of the matrix: its own copy when it is kept, otherwise read into `room`.
  absl::StatusOr<const float*> RowsOf(uint64_t first, uint64_t count, std::vector<float>* room);
  // Logits of vocabulary [first, first + count) from rows of the matrix at `matrix`.
  void Piece(const float* normed, uint64_t rows, const float* matrix, uint64_t first, uint64_t count, float* logits) const;
  // Logits become probabilities, and those their gradients.
  void Softmax(uint64_t rows);
  void SubtractTargets(uint64_t first, uint64_t rows, const Targets& targets);
  absl::Status MultiplyBack(uint64_t rows, float* gradient);

  const HeadConfig& config_;
  const Weights& weights_;
  WeightBudget& budget_;
  ThreadPool& pool_;
  Norm norm_;
  std::vector<float> matrix_;             // vocabulary x width; empty when not kept
  std::vector<std::vector<float>> rows_;  // by thread: part of a matrix that is not kept
  std::vector<float> normed_, logits_, rows_back_;  // of the way back
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_HEAD_H_
