// The loss and the way back through the head.
#ifndef NASHSWARM_CORE_FORWARD_HEAD_GRADIENT_H_
#define NASHSWARM_CORE_FORWARD_HEAD_GRADIENT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/forward/decoder.h"
#include "core/forward/gradient_tap.h"

namespace nashswarm::forward {

// The target of position `row` of the batch, given the model's prediction there. Called from several threads, once a row.
using Targets = std::function<int32_t(uint64_t row, absl::Span<const float> probabilities)>;

class HeadGradient {
 public:
  explicit HeadGradient(Decoder& decoder) : decoder_(decoder) {}  // outlives this

  // gradient[rows x width] at the final norm's output `normed`: (p - onehot(target)) W.
  absl::Status Run(const float* normed, uint64_t rows, const Targets& targets, GradientTap& tap, float* gradient);

 private:
  // Logits become probabilities, and those their gradients.
  void Softmax(uint64_t rows);
  void SubtractTargets(uint64_t first, uint64_t rows, const Targets& targets);
  absl::Status MultiplyHead(uint64_t rows, float* gradient);

  Decoder& decoder_;
  std::vector<float> logits_, head_rows_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_HEAD_GRADIENT_H_
