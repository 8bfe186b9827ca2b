// A feed-forward part that is a mixture of experts: a router chooses experts for every token, tokens are grouped by expert, and
// every expert runs over its group with BLAS.
//
//   y = sum over the chosen experts e of p_e FFN_e(x) [+ sigmoid(g x) FFN_shared(x)]
// with p the softmax of the router's logits, over all experts, or over the chosen ones (normalized): Shazeer et al.,
// "Outrageously Large Neural Networks", 2017; Jiang et al., "Mixtral of Experts", 2024, section 2.1.
// The way back goes through every chosen expert, and through the router's weights of the chosen ones. That another choice would
// have been made is no derivative.
//
// Tensors: ffn_gate_inp (the router), ffn_gate.E, ffn_up.E, ffn_down.E; ffn_gate_inp_shexp, ffn_gate_shexp, ffn_up_shexp,
// ffn_down_shexp.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_EXPERTS_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_EXPERTS_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/blocks/block.h"
#include "core/forward/blocks/expert_choices.h"
#include "core/forward/hyperparameters.h"
#include "core/forward/matrix.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct ExpertsConfig {
  model::MlpDesign mlp;          // of every expert; gated
  uint64_t width = 0;
  uint64_t count = 0;            // of a layer; 0: no mixture, and what follows means nothing
  uint64_t used = 0;             // of a token
  uint64_t hidden = 0;           // units of one expert
  uint64_t shared_hidden = 0;    // of the expert that every token uses; 0: there is none
  bool normalized = false;       // the weights of a token's experts add up to 1

  uint64_t hidden_units() const;  // of a token: the greater of those of its own and of the shared one
  // What it takes, in floats: the matrices of a layer; activations of `rows` tokens; those that the way back has of them.
  uint64_t weight_floats() const { return (count * (1 + 3 * hidden) + 3 * shared_hidden) * width; }
  uint64_t activation_floats(uint64_t rows) const { return rows * hidden_units(); }
  uint64_t gradient_floats(uint64_t rows) const { return std::min(rows, kPortionBack) * (3 * hidden_units() + 2 * width); }
};
// A count of 0 when the model has none.
ExpertsConfig ReadExperts(const model::Design& design, uint64_t width, Hyperparameters* read);

absl::Span<const LinearInput> ExpertsInputs();

class ExpertsBlock : public Block {
 public:
  ExpertsBlock(const ExpertsConfig& config, ThreadPool& pool);  // both outlive this

  std::unique_ptr<BlockWeights> MakeWeights() const override;
  void AddSlots(BlockWeights* weights, Slots* slots) const override;
  void Forward(const BlockCall& call) override;
  bool keeps() const override { return false; }
  void Backward(const BlockGradientCall& call) override;

 private:
  struct Expert {
    Matrix in;  // gate above up
    Matrix down;
  };
  struct ExpertsWeights : BlockWeights {
    Matrix router;                   // a row an expert
    std::vector<Expert> experts;
    Expert shared;
    std::vector<float> shared_gate;  // `width`
  };
  // One expert's two matrices for `rows` rows: from x and g, that at what they give times scale[row], to the gradient at x, and
  // dot[row] = g FFN(x).
  struct ExpertRows {
    const float *x, *g, *scale;
    float *at_x, *dot;
  };

  void AddExpert(const std::string& which, uint64_t hidden, Expert* to, Slots* slots) const;
  void Enter(const BlockWeights* weights) { weights_ = static_cast<const ExpertsWeights*>(weights); }

  // Forward, for rows that lie one after the other: `to` gets what the mixture gives added to it.
  void ForwardRows(const BlockCall& call, const float* normed, uint64_t rows, float* to);
  void Route(const BlockCall& call, const float* normed, uint64_t rows);
  void Gather(const float* normed);
  void ActivateExperts();                  // activated_ = p activation(gate) * up
  void TellExperts(const BlockCall& call);
  void Down();
  void AddExperts(uint64_t rows, float* to);
  void AddShared(const BlockCall& call, const float* normed, uint64_t rows, float* to);
  // Calls body(expert, first, rows, thread) for blocks of places of each expert.
  template <typename Body>
  void ForBlocks(Body body);

  // Back (experts_back.cc).
  void BackwardRows(const BlockGradientCall& call, uint64_t first, uint64_t rows);
  void ExpertBack(const BlockGradientCall& call, uint64_t expert, uint64_t first, const float* gradient);
  void RouterBack(uint64_t rows, float* at_input);
  void SharedBack(const BlockGradientCall& call, uint64_t first, const float* gradient, uint64_t rows, float* at_input);
  void FeedForwardBack(const BlockGradientCall& call, const Expert& expert, uint64_t hidden, uint64_t first, uint64_t rows,
                       const std::string& which, ExpertRows io);

  const ExpertsConfig& config_;
  ThreadPool& pool_;
  const ExpertsWeights* weights_ = nullptr;  // of the call
  std::vector<float> logits_;                // rows x experts
  ExpertChoices choices_;
  ExpertGroups groups_;
  std::vector<float> gathered_;              // a row a place: what its expert reads, then what it gives
  std::vector<float> activated_;
  std::vector<std::vector<float>> tiles_;    // by thread: gate and up of a block

  // Of the way back. One expert's rows, and what is made of them.
  std::vector<float> gathered_gradient_, scale_, in_, down_;
  std::vector<float> normed_, output_, input_back_;  // of a portion
  std::vector<float> at_place_;              // gradients at what experts read, a row a place
  std::vector<float> at_weight_;             // at the weights, by place
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_EXPERTS_H_
