// Who hears the gradients of a backward pass.
#ifndef NASHSWARM_CORE_FORWARD_GRADIENT_TAP_H_
#define NASHSWARM_CORE_FORWARD_GRADIENT_TAP_H_

#include <cstdint>
#include <string>

namespace nashswarm::forward {

// Of tokens [first, first + tokens) of the batch: row t (from data + t * stride) has `width` values. Of an expert: those of
// the `tokens` tokens that use it, among the ones from `first` on.
struct TokenRows {
  const float* data;
  uint64_t stride;
  uint64_t first, tokens, width;
};

// All calls come from the thread that runs the pass, outside of any step of its pool; what is given lives until they return.
// Tokens of one tensor come in order.
class GradientTap {
 public:
  virtual ~GradientTap() = default;
  // At the output of a linear layer that is not the head, under the name of its tensor ("blk.0.attn_q.weight").
  virtual void Output(const std::string& tensor, const TokenRows& gradients) = 0;
  // Of every token of the vocabulary; the loss's gradient at the head's output is these, less 1 at the target.
  virtual void Probabilities(const TokenRows& probabilities) = 0;
  // At the rows of embeddings as they are stored.
  virtual void Embedding(const TokenRows& gradients) = 0;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_GRADIENT_TAP_H_
