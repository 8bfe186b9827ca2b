// One layer's weights as floats.
#ifndef NASHSWARM_CORE_FORWARD_LAYER_WEIGHTS_H_
#define NASHSWARM_CORE_FORWARD_LAYER_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/model_config.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

struct Matrix {
  std::vector<float> weight;  // outputs x inputs
  std::vector<float> bias;    // one an output, or empty
  uint64_t outputs = 0, inputs = 0;
};

struct Norm {
  std::vector<float> weight, bias;  // bias of layer norms only; empty weight: there is no such norm
};

// One expert's feed-forward part.
struct ExpertWeights {
  Matrix in;        // gate above up
  Matrix down;
};

struct LayerWeights {
  Norm attention_norm, ffn_norm, query_norm, key_norm, post_attention_norm, post_ffn_norm;
  Matrix qkv;       // q, k and v one below the other
  Matrix output;
  Matrix ffn_in;    // gate above up, or up alone
  Matrix ffn_down;
  // With experts, instead of the last two.
  Matrix router;                       // a row an expert
  std::vector<ExpertWeights> experts;
  ExpertWeights shared;
  std::vector<float> shared_gate;      // `width`
};

// MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE unless `weights` has the tensors of layer `layer`.
absl::Status CheckLayer(const ModelConfig& config, const Weights& weights, uint64_t layer);
// Bytes of a layer's matrices as floats. They exist (CheckLayer), so this does not overflow.
uint64_t LayerBytes(const ModelConfig& config);
// Reads the layer into `to`, whose memory is used again. Checks shapes as CheckLayer.
absl::Status LoadLayer(const ModelConfig& config, const Weights& weights, uint64_t layer, ThreadPool& pool, LayerWeights* to);
// The first tensor of the layer with a NaN or infinite weight; "" when there is none.
std::string NonFiniteTensor(const ModelConfig& config, const Weights& weights, uint64_t layer);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_LAYER_WEIGHTS_H_
