// Back-propagation through the whole model: gradients of a loss at the output of every linear layer and at the embeddings.
#ifndef NASHSWARM_CORE_FORWARD_BACKWARD_H_
#define NASHSWARM_CORE_FORWARD_BACKWARD_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/forward/decoder.h"
#include "core/forward/gradient_tap.h"

namespace nashswarm::forward {

class Backward {
 public:
  explicit Backward(Decoder& decoder) : decoder_(decoder) {}  // outlives this

  // Hears the steps done; an error of it stops the run.
  using Step = std::function<absl::Status(uint64_t done)>;
  // Steps of a Run, of about the same length, for progress.
  uint64_t steps() const { return 2 * decoder_.layers() + 1; }
  // Loss = sum over positions of -log p(target | what is before it); `tap` hears its gradients. Keeps the hidden states of
  // every layer for all of `batch`. The errors of Transformer's steps, and DATA_LOSS / NON_FINITE_GRADIENTS.
  absl::Status Run(const Batch& batch, const Targets& targets, GradientTap& tap, const Step& step);

 private:
  absl::Status RunForward(const Batch& batch, const Step& step);
  // The hidden states [windows * length x width] that layer `layer` reads; those of layers(): what the final norm reads.
  float* Hidden(uint64_t layer) { return hidden_.data() + layer * rows_ * decoder_.width(); }

  Decoder& decoder_;
  uint64_t rows_ = 0;
  std::vector<float> hidden_;
  std::vector<float> gradient_;  // at the hidden states where the way back has come to: rows_ x width
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BACKWARD_H_
