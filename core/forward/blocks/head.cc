#include "core/forward/blocks/head.h"

#include <algorithm>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/forward/errors.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

// Rows and vocabulary of one BLAS call. A piece of vocabulary is also what a thread reads at a time when the matrix is not kept.
constexpr uint64_t kRows = 256, kPiece = 512;
// On the way back: 64 MiB of logits at a time, whatever the vocabulary; and rows of the matrix in memory at a time when it is not
// kept, and in one product.
constexpr uint64_t kLogits = 1 << 24, kRowsBack = 4096;

bool Finite(const std::vector<float>& x) { return ActiveKernels().finite(x.data(), x.size()); }

}  // namespace

absl::StatusOr<HeadConfig> ReadHead(const NormConfig& norm, uint64_t width, uint64_t vocabulary, const Weights& weights) {
  HeadConfig config{norm, width, vocabulary, weights.Find("output.weight") == nullptr};
  NS_RETURN_IF_ERROR(CheckTensor(weights, config.tensor(), vocabulary, width));
  NS_RETURN_IF_ERROR(CheckTensor(weights, "output_norm.weight", 1, width));
  if (norm.has_bias()) NS_RETURN_IF_ERROR(CheckTensor(weights, "output_norm.bias", 1, width));
  return config;
}

Head::Head(const HeadConfig& config, const Weights& weights, WeightBudget& budget, ThreadPool& pool)
    : config_(config), weights_(weights), budget_(budget), pool_(pool), rows_(pool.threads()) {}

absl::Status Head::Load() {
  norm_.weight.resize(config_.width);
  NS_RETURN_IF_ERROR(weights_.Read("output_norm.weight", 0, 1, norm_.weight.data()));
  if (!config_.norm.has_bias()) return absl::OkStatus();
  norm_.bias.resize(config_.width);
  return weights_.Read("output_norm.bias", 0, 1, norm_.bias.data());
}

absl::Status Head::Normalize(uint64_t rows, float* hidden, InputTap* tap) const {
  const uint64_t width = config_.width;
  ForRows(pool_, rows, [&](uint64_t row, int) { NormRow(config_.norm, norm_, hidden + row * width, width, hidden + row * width); });
  if (!ActiveKernels().finite(hidden, rows * width)) {
    const char* bias = Finite(norm_.bias) ? "" : "output_norm.bias";
    return NonFiniteActivations(weights_.name(), "the final norm", Finite(norm_.weight) ? bias : "output_norm.weight");
  }
  if (tap != nullptr) tap->Input("head_in", hidden, rows, width);
  return absl::OkStatus();
}

absl::Status Head::Keep() {
  // Both factors are those of a tensor that exists.
  const uint64_t bytes = config_.weight_floats() * sizeof(float);
  if (!matrix_.empty() || !budget_.Has(bytes)) return absl::OkStatus();
  std::vector<float> matrix(config_.weight_floats());
  NS_RETURN_IF_ERROR(ReadRows(0, config_.vocabulary, matrix.data()));
  budget_.Take(bytes);
  matrix_ = std::move(matrix);
  return absl::OkStatus();
}

absl::Status Head::ReadRows(uint64_t first, uint64_t count, float* out) const {
  return pool_.Run(DivideUp(count, kPiece), [&](uint64_t i, int) {
    const uint64_t row = i * kPiece;
    return weights_.Read(config_.tensor(), first + row, std::min(kPiece, count - row), out + row * config_.width);
  });
}

absl::StatusOr<const float*> Head::RowsOf(uint64_t first, uint64_t count, std::vector<float>* room) {
  NS_RETURN_IF_ERROR(Keep());
  if (!matrix_.empty()) return matrix_.data() + first * config_.width;
  float* out = Room(*room, count * config_.width);
  NS_RETURN_IF_ERROR(ReadRows(first, count, out));
  return out;
}

void Head::Piece(const float* normed, uint64_t rows, const float* matrix, uint64_t first, uint64_t count, float* logits) const {
  for (uint64_t row = 0; row < rows; row += kRows) {
    MultiplyTransposed(std::min(kRows, rows - row), count, config_.width, normed + row * config_.width, config_.width,
                       matrix, config_.width, 0, logits + row * config_.vocabulary + first, config_.vocabulary);
  }
}

absl::Status Head::Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead) {
  if (rows == 0) return absl::OkStatus();
  if (instead == nullptr) {
    NS_RETURN_IF_ERROR(Keep());
  } else {
    NS_RETURN_IF_ERROR(CheckTensor(*instead, config_.tensor(), config_.vocabulary, config_.width));
  }
  const bool kept = instead == nullptr && !matrix_.empty();
  const Weights& source = instead != nullptr ? *instead : weights_;
  const uint64_t width = config_.width, pieces = DivideUp(config_.vocabulary, kPiece);
  // With the matrix at hand rows are shared too; otherwise each piece of it is read once, for all rows.
  const uint64_t row_blocks = kept ? DivideUp(rows, kRows) : 1;
  return pool_.Run(pieces * row_blocks, [&](uint64_t i, int thread) -> absl::Status {
    const uint64_t first = i / row_blocks * kPiece, count = std::min(kPiece, config_.vocabulary - first);
    const uint64_t row = i % row_blocks * kRows, row_count = row_blocks == 1 ? rows : std::min(kRows, rows - row);
    const float* matrix = kept ? matrix_.data() + first * width : nullptr;
    if (!kept) {
      float* piece = Room(rows_[thread], kPiece * width);
      NS_RETURN_IF_ERROR(source.Read(config_.tensor(), first, count, piece));
      matrix = piece;
    }
    Piece(normed + row * width, row_count, matrix, first, count, logits + row * config_.vocabulary);
    for (uint64_t r = row; r < row + row_count; ++r) {
      if (ActiveKernels().finite(logits + r * config_.vocabulary + first, count)) continue;
      return NonFiniteActivations(weights_.name(), "the head", ActiveKernels().finite(matrix, count * width) ? "" : config_.tensor());
    }
    return absl::OkStatus();
  });
}

absl::Status Head::Backward(const float* hidden, uint64_t rows, const Targets& targets, GradientTap& tap, float* gradient) {
  const uint64_t vocabulary = config_.vocabulary, width = config_.width;
  normed_.assign(hidden, hidden + rows * width);
  NS_RETURN_IF_ERROR(Normalize(rows, normed_.data(), nullptr));
  const uint64_t portion = std::min(rows, std::max<uint64_t>(1, kLogits / vocabulary));
  logits_.resize(portion * vocabulary);
  for (uint64_t first = 0; first < rows; first += portion) {
    const uint64_t count = std::min(portion, rows - first);
    NS_RETURN_IF_ERROR(Logits(normed_.data() + first * width, count, logits_.data(), nullptr));
    Softmax(count);
    tap.Probabilities({logits_.data(), vocabulary, first, count, vocabulary});
    SubtractTargets(first, count, targets);
    NS_RETURN_IF_ERROR(MultiplyBack(count, gradient + first * width));
  }
  ForRows(pool_, rows, [&](uint64_t row, int) { NormRowDerivative(config_.norm, norm_, hidden + row * width, width, gradient + row * width); });
  if (ActiveKernels().finite(gradient, rows * width)) return absl::OkStatus();
  return NonFiniteGradients(weights_.name(), "the final norm");
}

void Head::Softmax(uint64_t rows) {
  const uint64_t vocabulary = config_.vocabulary;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    const Kernels& kernels = ActiveKernels();
    float* logits = logits_.data() + row * vocabulary;
    const float total = kernels.exp_sum(logits, kernels.max(logits, vocabulary), vocabulary);
    kernels.scale(logits, 1 / total, vocabulary);
  });
}

void Head::SubtractTargets(uint64_t first, uint64_t rows, const Targets& targets) {
  const uint64_t vocabulary = config_.vocabulary;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* probabilities = logits_.data() + row * vocabulary;
    probabilities[targets(first + row, {probabilities, vocabulary})] -= 1;
  });
}

// (p - onehot(target)) W
absl::Status Head::MultiplyBack(uint64_t rows, float* gradient) {
  const uint64_t vocabulary = config_.vocabulary, width = config_.width;
  for (uint64_t first = 0; first < vocabulary; first += kRowsBack) {
    const uint64_t count = std::min(kRowsBack, vocabulary - first);
    NS_ASSIGN_OR_RETURN(const float* matrix, RowsOf(first, count, &rows_back_));
    MultiplyRows(pool_, {logits_.data() + first, vocabulary}, rows, {const_cast<float*>(matrix), width}, count, width,
                 first == 0 ? 0.0f : 1.0f, {gradient, width});
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::forward
