// The way back through a mixture of experts (expert_pass.h): through every chosen expert, and through the router's weights of
// the chosen ones. That another choice would have been made is no derivative.
#ifndef NASHSWARM_CORE_FORWARD_EXPERT_GRADIENT_H_
#define NASHSWARM_CORE_FORWARD_EXPERT_GRADIENT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/forward/expert_pass.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/layer_weights.h"
#include "core/forward/model_config.h"

namespace nashswarm::forward {

// Keeps its buffers from call to call. One call at a time.
class ExpertGradient {
 public:
  ExpertGradient(const ModelConfig& config, ThreadPool& pool) : config_(config), pool_(pool) {}

  // Hears gradients at the output of linear layer `part` ("ffn_up.3"). Of ffn_down its input counts as weighted by the
  // router, as in InputOf, so that the gradient is the mixture's own.
  using Tell = std::function<void(const std::string& part, const float* data, uint64_t stride, uint64_t rows, uint64_t width)>;
  // `normed` and `gradient`: rows x width, what the mixture reads and the gradient at what it gives. `at_input` becomes the
  // gradient at what it reads.
  void Run(const LayerWeights& weights, const float* normed, const float* gradient, uint64_t rows, const Tell& tell,
           float* at_input);

 private:
  void Route(const float* normed, uint64_t rows);
  void Expert(uint64_t expert, const float* normed, const float* gradient, const Tell& tell);
  void Router(uint64_t rows, float* at_input);
  void Shared(const float* normed, const float* gradient, uint64_t rows, const Tell& tell, float* at_input);
  // An expert's two matrices for `rows` rows: from x and g, that at what they give times scale[row], to the gradient at x, and
  // dot[row] = g FFN(x).
  struct Rows2 {
    const float *x, *g, *scale;
    float *at_x, *dot;
  };
  void FeedForward(const ExpertWeights& weights, uint64_t ffn, uint64_t rows, const std::string& which, const Tell& tell, Rows2 io);

  const ModelConfig& config_;
  ThreadPool& pool_;
  const LayerWeights* weights_ = nullptr;  // of the call
  std::vector<float> logits_, gates_;      // rows x experts; gates_: of the shared expert, one a row
  ExpertChoices choices_;
  ExpertGroups groups_;
  std::vector<float> gathered_, gathered_gradient_, scale_;  // of one expert's rows
  std::vector<float> in_, activated_, down_;
  std::vector<float> at_input_;            // a row a place
  std::vector<float> at_weight_;           // gradients at the weights, by place
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_EXPERT_GRADIENT_H_
