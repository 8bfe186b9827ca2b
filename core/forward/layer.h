// A layer: its blocks, and how they hang on the residual stream one after the other or side by side.
#ifndef NASHSWARM_CORE_FORWARD_LAYER_H_
#define NASHSWARM_CORE_FORWARD_LAYER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/blocks/block.h"
#include "core/forward/blocks/residual.h"
#include "core/forward/model_config.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

// Of one layer, as floats; made by Layer.
struct LayerWeights {
  struct Branch {
    BranchNorms norms;
    std::unique_ptr<BlockWeights> block;
  };
  std::vector<Branch> branches;
};

// What the blocks of a layer remember of `windows` sequences, which are continued in lockstep.
struct LayerState {
  std::vector<std::vector<float>> branches;
};

// All pointers outlive the call.
struct LayerCall {
  uint64_t layer = 0;
  const LayerWeights* weights = nullptr;
  uint64_t windows = 0, length = 0;
  float* hidden = nullptr;                // windows * length rows of `width`; the result takes its place
  LayerState* state = nullptr;            // null: every window begins with the call
  uint64_t capacity = 0, first = 0;       // of the state: tokens it has room for, and those that it has seen
  InputTap* tap = nullptr;
  const ExpertRouter* router = nullptr;   // null: the model's own choice
};

struct LayerGradientCall {
  uint64_t layer = 0;
  const LayerWeights* weights = nullptr;
  uint64_t windows = 0, length = 0;
  const float* input = nullptr;           // windows * length rows of `width`: what the layer read
  float* gradient = nullptr;              // rows as `input`: at the layer's output, and then at its input
  GradientTap* tap = nullptr;
};

// One object for all layers of a model. Keeps its buffers from call to call; one call at a time.
class Layer {
 public:
  Layer(const ModelConfig& config, ThreadPool& pool);  // both outlive this

  // MODEL_TENSOR_MISSING, MODEL_TENSOR_SHAPE or GGUF_TYPE_UNSUPPORTED unless `weights` has the tensors of layer `layer`.
  absl::Status Check(const Weights& weights, uint64_t layer) const;
  // Reads them into `to`, whose memory is used again. The errors of Check, and of Weights::Read.
  absl::Status Load(const Weights& weights, uint64_t layer, LayerWeights* to) const;
  // The first tensor of the layer with a NaN or infinite weight; "" when there is none.
  std::string NonFiniteTensor(const Weights& weights, uint64_t layer) const;
  // Room for `capacity` tokens of each of `windows` sequences.
  LayerState MakeState(uint64_t windows, uint64_t capacity) const;
  uint64_t StateFloats(uint64_t capacity) const;  // of one sequence

  // False when the result is not finite.
  bool Forward(const LayerCall& call);
  // The way back, with what the layer computed made again from its input: about two forward passes of it. False when the
  // gradient at the input is not finite.
  bool Backward(const LayerGradientCall& call);

 private:
  Slots SlotsOf(uint64_t layer, LayerWeights* to) const;
  bool Finite(const float* x, uint64_t rows) const;
  // The first branch of those that read what branch `branch` reads.
  size_t ReadsWith(size_t branch) const;
  bool IsSideBySide(size_t branch) const { return branch + 1 < config_.branches.size() && config_.branches[branch + 1].wiring.parallel; }
  // What each branch reads, for the way back; blocks keep what they need of it.
  void RunAgain(const LayerGradientCall& call);

  const ModelConfig& config_;
  ThreadPool& pool_;
  std::vector<std::unique_ptr<Block>> blocks_;  // by branch
  Residual residual_;
  ResidualGradient residual_gradient_;
  std::vector<float> beside_;                   // what branches that are side by side read
  std::vector<std::vector<float>> behind_;      // by branch, on the way back: the stream behind it
  std::vector<float> at_output_;                // the gradient behind branches that are side by side
};

// What one layer takes at most, in floats, and that is all which grows: its weights; activations of `rows` tokens, of which
// `portion` are in a feed-forward part at a time; the way back of `rows` tokens, beside activations.
uint64_t LayerWeightFloats(const ModelConfig& config);
uint64_t LayerActivationFloats(const ModelConfig& config, uint64_t rows, uint64_t portion);
uint64_t LayerGradientFloats(const ModelConfig& config, uint64_t rows);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_LAYER_H_
