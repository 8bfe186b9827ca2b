#include "core/forward/head_gradient.h"

#include <algorithm>

#include "core/base/status.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

// 64 MiB of logits at a time, whatever the vocabulary.
constexpr uint64_t kLogits = 1 << 24;
// Rows of the head in memory at a time when it is not kept, and in one product.
constexpr uint64_t kHeadRows = 4096;

}  // namespace

void HeadGradient::Softmax(uint64_t rows) {
  const uint64_t vocabulary = decoder_.vocabulary();
  ForRows(decoder_.pool(), rows, [&](uint64_t row, int) {
    const Kernels& kernels = ActiveKernels();
    float* logits = logits_.data() + row * vocabulary;
    const float total = kernels.exp_sum(logits, kernels.max(logits, vocabulary), vocabulary);
    kernels.scale(logits, 1 / total, vocabulary);
  });
}

void HeadGradient::SubtractTargets(uint64_t first, uint64_t rows, const Targets& targets) {
  const uint64_t vocabulary = decoder_.vocabulary();
  ForRows(decoder_.pool(), rows, [&](uint64_t row, int) {
    float* probabilities = logits_.data() + row * vocabulary;
    probabilities[targets(first + row, {probabilities, vocabulary})] -= 1;
  });
}

absl::Status HeadGradient::MultiplyHead(uint64_t rows, float* gradient) {
  const uint64_t vocabulary = decoder_.vocabulary(), width = decoder_.width();
  for (uint64_t first = 0; first < vocabulary; first += kHeadRows) {
    const uint64_t count = std::min(kHeadRows, vocabulary - first);
    NS_ASSIGN_OR_RETURN(const float* head, decoder_.HeadRows(first, count, &head_rows_));
    MultiplyRows(decoder_.pool(), {logits_.data() + first, vocabulary}, rows, {const_cast<float*>(head), width}, count, width,
                 first == 0 ? 0.0f : 1.0f, {gradient, width});
  }
  return absl::OkStatus();
}

absl::Status HeadGradient::Run(const float* normed, uint64_t rows, const Targets& targets, GradientTap& tap,
                               float* gradient) {
  const uint64_t vocabulary = decoder_.vocabulary(), width = decoder_.width();
  const uint64_t portion = std::min(rows, std::max<uint64_t>(1, kLogits / vocabulary));
  logits_.resize(portion * vocabulary);
  for (uint64_t first = 0; first < rows; first += portion) {
    const uint64_t count = std::min(portion, rows - first);
    NS_RETURN_IF_ERROR(decoder_.Logits(normed + first * width, count, logits_.data(), nullptr));
    Softmax(count);
    tap.Probabilities({logits_.data(), vocabulary, first, count, vocabulary});
    SubtractTargets(first, count, targets);
    NS_RETURN_IF_ERROR(MultiplyHead(count, gradient + first * width));
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::forward
