// Who hears what linear layers read, and what such an input is called.
#ifndef NASHSWARM_CORE_FORWARD_INPUT_TAP_H_
#define NASHSWARM_CORE_FORWARD_INPUT_TAP_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace nashswarm::forward {

// What every linear layer reads: tensors with the same input share it. Blocks say what theirs are (blocks/block.h):
//   "blk.N.attn_in" (attn_q, attn_k, attn_v, attn_qkv), "blk.N.attn_output_in", "blk.N.ffn_in" (ffn_gate, ffn_up),
//   "blk.N.ffn_down_in", "head_in" (output.weight, or token_embd.weight when `tied_head`). Empty for a tensor that is no
//   linear layer (embeddings, norms, biases), and for routers.
//   Of expert E "blk.N.ffn_in.E" and "blk.N.ffn_down_in.E": the inputs of the tokens that use it, each times the weight that
//   the router gives it there. "blk.N.ffn_in" is then what the router and the
//   shared expert read; that one's ffn_down reads "blk.N.ffn_down_shexp_in".
std::string InputOf(std::string_view tensor, bool tied_head);

// Hears the inputs of linear layers while the model runs: at most once for each input and batch, from the calling thread, in
// the order the model computes them. An expert that no token uses is not heard of.
class InputTap {
 public:
  virtual ~InputTap() = default;
  virtual void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) = 0;  // tokens x width
  // Which `used` experts of a layer each token takes, [tokens x used], different ones: once for each layer and batch, after
  // "blk.N.ffn_in" and before the inputs of experts. Nothing for those who do not ask.
  virtual void Experts(uint64_t /*layer*/, const uint16_t* /*chosen*/, uint64_t /*tokens*/, uint64_t /*used*/) {}
};

// Chooses experts in the model's place: `chosen` [tokens x used] from the router's `logits` [tokens x experts] of a layer,
// for all tokens of a RunLayer at once, from the calling thread. A token's experts differ from one another.
using ExpertRouter = std::function<void(uint64_t layer, const float* logits, uint64_t tokens, uint16_t* chosen)>;

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_INPUT_TAP_H_
