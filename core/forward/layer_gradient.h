// The way back through one layer: from the gradient at its output to the one at its input, with what the layer computed made
// again from its input. Costs about two forward passes of the layer.
#ifndef NASHSWARM_CORE_FORWARD_LAYER_GRADIENT_H_
#define NASHSWARM_CORE_FORWARD_LAYER_GRADIENT_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/forward/attention_gradient.h"
#include "core/forward/expert_gradient.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/layer_pass.h"
#include "core/forward/layer_weights.h"
#include "core/forward/model_config.h"
#include "core/forward/rope.h"

namespace nashswarm::forward {

// All pointers outlive the call.
struct LayerGradientCall {
  uint64_t layer;
  const LayerWeights* weights;
  const RopeTable* rope;      // as in LayerCall
  uint64_t windows, length;
  const float* input;         // windows * length rows of `width`: what the layer read
  float* gradient;            // rows as `input`: at the layer's output, and then at its input
  GradientTap* tap;
};

// Keeps its buffers from call to call. One call at a time.
class LayerGradient {
 public:
  // `pass` runs the first half of the layer again. All outlive this.
  LayerGradient(const ModelConfig& config, ThreadPool& pool, LayerPass& pass);

  // False when the gradient at the input is not finite.
  bool Run(const LayerGradientCall& call);

 private:
  // The steps, in their order. Those of the feed-forward part do rows [first, first + rows).
  void RunFirstHalf(const LayerGradientCall& call);
  void FeedForward(const LayerGradientCall& call, uint64_t first, uint64_t rows);
  void Experts(const LayerGradientCall& call, uint64_t first, uint64_t rows);
  const float* FfnDownGradient(const LayerGradientCall& call, uint64_t first, uint64_t rows);
  void AttentionOutput(const LayerGradientCall& call);
  void Attend(const LayerGradientCall& call);
  void RotateBack(const LayerGradientCall& call, uint64_t row, int thread);
  void QueryKeyValue(const LayerGradientCall& call);

  // gradient += derivative of `norm` of x, times what is at the norm's output, `g`, which is spoilt.
  void AddNormDerivative(const Norm& norm, const float* x, uint64_t rows, float* g, float* gradient);
  void NormRowDerivative(const Norm& norm, const float* x, float* g) const;
  void Tell(const LayerGradientCall& call, std::string_view part, const TokenRows& gradients) const;

  const ModelConfig& config_;
  ThreadPool& pool_;
  LayerPass& pass_;
  // Of the whole batch: between attention and feed-forward; q, k and v before norms of heads; gradients at the outputs of the
  // matrices; at what attention gives.
  std::vector<float> middle_, raw_, qkv_, attended_, added_;
  std::vector<float> normed_, ffn_in_, activated_, down_;  // of one portion of its rows
  std::vector<std::vector<float>> sines_;                  // by thread: of the angles back
  std::vector<AttentionGradient> attention_;               // by thread
  ExpertGradient experts_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_LAYER_GRADIENT_H_
