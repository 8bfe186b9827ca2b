// Self-attention over what came before, with grouped heads, rotary embeddings, windows and norms of heads.
// Tensors: attn_q, attn_k, attn_v (or attn_qkv), attn_output, attn_q_norm, attn_k_norm.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_ATTENTION_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_ATTENTION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/attention.h"
#include "core/forward/attention_gradient.h"
#include "core/forward/blocks/block.h"
#include "core/forward/hyperparameters.h"
#include "core/forward/matrix.h"
#include "core/forward/rope.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct AttentionConfig {
  model::AttentionDesign design;
  uint64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_width = 0;
  float epsilon = 0;       // of the norms of heads
  float score_scale = 0;   // usually 1 / sqrt(head_width)
  RopeConfig rope, window_rope;  // of layers without and with a sliding window; nothing in them when no layer is rotated
  uint64_t window = 0;     // positions a sliding layer sees, its own among them
  std::vector<bool> sliding;  // by layer; empty: every layer, when `window` > 0

  // 0: everything before it.
  uint64_t WindowOf(uint64_t layer) const { return sliding.empty() || sliding[layer] ? window : 0; }
  bool Rotates(uint64_t layer) const {
    return design.rotation != model::Rotation::kNone && (design.unrotated_period == 0 || (layer + 1) % design.unrotated_period != 0);
  }
  uint64_t query_width() const { return heads * head_width; }
  uint64_t kv_width() const { return kv_heads * head_width; }
  uint64_t qkv_width() const { return query_width() + 2 * kv_width(); }
  uint64_t group() const { return heads / kv_heads; }  // query heads that share keys and values

  // What it takes, in floats: the matrices of a layer; activations of `rows` tokens, and what the way back has beside them.
  uint64_t weight_floats() const { return (qkv_width() + query_width()) * width; }
  uint64_t activation_floats(uint64_t rows) const { return rows * (qkv_width() + query_width()); }
  uint64_t gradient_floats(uint64_t rows) const { return rows * (2 * qkv_width() + query_width() + 2 * width); }
};

// `layers`, `width` and `context` are those of the model.
AttentionConfig ReadAttention(const model::AttentionDesign& design, const NormConfig& norm, uint64_t layers, uint64_t width,
                              uint64_t context, Hyperparameters* read);
// What divides the frequencies of the rotation, for models that have the tensor for it (rope_freqs.weight). INVALID_ARGUMENT with
// MODEL_TENSOR_SHAPE or CONFIG_INVALID.
absl::Status ReadRopeDivisors(const Weights& weights, AttentionConfig* config);

absl::Span<const LinearInput> AttentionInputs();

class AttentionBlock : public Block {
 public:
  AttentionBlock(const AttentionConfig& config, ThreadPool& pool);  // both outlive this

  std::unique_ptr<BlockWeights> MakeWeights() const override;
  void AddSlots(BlockWeights* weights, Slots* slots) const override;
  uint64_t StateFloats(uint64_t capacity) const override { return 2 * capacity * config_.kv_width(); }
  void Forward(const BlockCall& call) override;
  bool keeps() const override { return true; }
  void Backward(const BlockGradientCall& call) override;

 private:
  struct AttentionWeights : BlockWeights {
    Matrix qkv;       // q, k and v one below the other
    Matrix output;
    Norm query_norm, key_norm;
  };
  static const AttentionWeights& Of(const BlockWeights* weights) { return static_cast<const AttentionWeights&>(*weights); }

  // Angles of a layer for positions [0, positions); null when it is not rotated.
  const RopeTable* RopeOf(uint64_t layer, uint64_t positions);
  // Keys of a state, windows x capacity rows of kv_width; behind them the values.
  float* Keys(const BlockState& state) const { return state.data; }
  float* Values(const BlockState& state, uint64_t windows) const {
    return state.data + windows * state.capacity * config_.kv_width();
  }

  // The steps forward.
  void QueryKeyValue(const BlockCall& call, uint64_t first, uint64_t rows);
  void RotateRow(const BlockCall& call, const RopeTable* rope, uint64_t row);
  void Attend(const BlockCall& call);
  // The steps back, in their order.
  void OutputBack(const BlockGradientCall& call);
  void AttendBack(const BlockGradientCall& call);
  void RotateRowBack(const BlockGradientCall& call, const RopeTable* rope, uint64_t row, int thread);
  void QueryKeyValueBack(const BlockGradientCall& call);

  const AttentionConfig& config_;
  ThreadPool& pool_;
  RopeTable rope_, window_rope_;
  // Of the last batch: q, k and v, rotated; what attention gave; with `keep`, q, k and v before norms of heads and rotation.
  std::vector<float> qkv_, attended_, raw_;
  std::vector<Attention> attention_;                       // by thread
  // Gradients at the outputs of the matrices, at what attention gives, and at what the block reads; what attn_output gave.
  std::vector<float> qkv_back_, attended_back_, input_back_, output_;
  std::vector<std::vector<float>> sines_;                  // by thread: of the angles back
  std::vector<AttentionGradient> attention_back_;          // by thread
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_ATTENTION_H_
