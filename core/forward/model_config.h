// What a decoder-only transformer is made of: sizes and the choices in which the architectures differ.
#ifndef NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_
#define NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

// How rotary position embeddings are stretched beyond the length a model was first trained for.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  double original_context = 0;
  double attention_factor = 1;          // on top of yarn's own
  double beta_fast = 32, beta_slow = 1;  // turns within original_context between which yarn interpolates
};

struct ModelConfig {
  uint64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_width = 0, context = 0, vocabulary = 0;
  uint64_t ffn = 0;        // hidden units of a token; with experts the greater of those of its own and of the shared one
  float epsilon = 0;       // of the norms
  float score_scale = 0;   // of attention scores, usually 1 / sqrt(head_width)
  float embedding_scale = 1;

  bool layer_norm = false;           // with mean and bias; otherwise RMS
  bool position_embedding = false;   // learned; otherwise rotary
  bool fused_qkv = false;            // one tensor attn_qkv
  bool gated = true;                 // ffn: activation(gate) * up; otherwise activation(up)
  bool gelu = false;                 // tanh approximation; otherwise SiLU
  bool head_norms = false;           // RMS norm of every head of q and k
  bool whole_norms = false;          // RMS norm of all heads of q together, and of k
  bool post_norms = false;           // RMS norm of what attention and ffn add to the hidden state
  bool rope_halves = false;          // rotary partners (i, i + d/2); otherwise neighbours
  bool tied_head = false;

  uint64_t rope_width = 0;           // leading dimensions of a head that are rotated
  double rope_base = 0, local_rope_base = 0;  // of layers without and with a sliding window
  RopeScaling rope_scaling;          // of layers that `rope_scaling_everywhere` or without a window
  bool rope_scaling_everywhere = true;
  std::vector<float> rope_divisors;  // one per frequency, or empty

  uint64_t experts = 0;              // of a layer; 0: no mixture, and what follows means nothing
  uint64_t experts_used = 0;         // of a token
  uint64_t expert_ffn = 0;           // width of an expert's hidden units
  uint64_t shared_ffn = 0;           // of the expert that every token uses; 0: there is none
  bool normalize_experts = false;    // the weights of a token's experts add up to 1

  uint64_t window = 0;               // positions a sliding layer sees, its own among them
  std::vector<bool> sliding;         // by layer; empty: every layer, when `window` > 0

  // 0: everything before it.
  uint64_t WindowOf(uint64_t layer) const { return sliding.empty() || sliding[layer] ? window : 0; }
  uint64_t query_width() const { return heads * head_width; }
  uint64_t kv_width() const { return kv_heads * head_width; }
  uint64_t qkv_width() const { return query_width() + 2 * kv_width(); }
  uint64_t group() const { return heads / kv_heads; }  // query heads that share keys and values
};

// Hyperparameters and the tensors outside the layers, checked. INVALID_ARGUMENT with ARCHITECTURE_UNKNOWN, CONFIG_INVALID,
// MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE.
absl::StatusOr<ModelConfig> ReadModelConfig(const Weights& weights);

// MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE unless `tensor` has `rows` rows of `row_weights`; UNIMPLEMENTED /
// GGUF_TYPE_UNSUPPORTED when they cannot be decoded.
absl::Status CheckTensor(const Weights& weights, std::string_view tensor, uint64_t rows, uint64_t row_weights);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_
