// The feed-forward part of a layer with a mixture of experts: a router chooses experts for every token, tokens are grouped by
// expert, and every expert runs over its group with BLAS.
//
//   y = sum over the chosen experts e of p_e FFN_e(x) [+ sigmoid(g x) FFN_shared(x)]
// with p the softmax of the router's logits, over all experts, or over the chosen ones (normalized): Shazeer et al.,
// "Outrageously Large Neural Networks", 2017; Jiang et al., "Mixtral of Experts", 2024, section 2.1.
#ifndef NASHSWARM_CORE_FORWARD_EXPERT_PASS_H_
#define NASHSWARM_CORE_FORWARD_EXPERT_PASS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/forward/layer_weights.h"
#include "core/forward/linear.h"
#include "core/forward/model_config.h"
#include "core/forward/transformer.h"

namespace nashswarm::forward {

// Who has which expert: `used` slots a token, in descending order of the router's logits.
struct ExpertChoices {
  uint64_t tokens = 0, used = 0;
  std::vector<uint16_t> expert;  // [tokens x used]
  std::vector<float> weight;     // p of each, [tokens x used]
};

// logits[tokens x experts] from rows of `router` [experts x width] and `normed` [tokens x width]. Each is a sum of its own, whatever
// row of the router it comes from: products of BLAS differ by where a row lies, and a file may order the experts anew.
void RouterLogits(ThreadPool& pool, const Matrix& router, const float* normed, uint64_t tokens, float* logits);
// The router's own choice: the `used` greatest logits of each row, the lower expert first where two are equal.
void ChooseGreatest(const float* logits, uint64_t tokens, uint64_t experts, uint64_t used, uint16_t* chosen);
// The weights of chosen experts, from logits [tokens x experts].
void WeighExperts(const float* logits, uint64_t experts, bool normalized, ExpertChoices* choices);

// Slots in the order of their experts: what expert e works on is [first[e], first[e + 1]) of `slot`.
struct ExpertGroups {
  std::vector<uint64_t> first;  // experts + 1
  std::vector<uint64_t> slot;   // an index into ExpertChoices; its token is slot / used
  std::vector<uint64_t> place;  // by slot: where it is in `slot`
};
ExpertGroups GroupByExpert(const ExpertChoices& choices, uint64_t experts);

// Keeps its buffers from call to call. One call at a time.
class ExpertPass {
 public:
  ExpertPass(const ModelConfig& config, ThreadPool& pool);

  struct Call {
    uint64_t layer;
    const LayerWeights* weights;
    const float* normed;      // rows x width: after the norm
    uint64_t rows;
    float* hidden;            // rows x width; the result is added to it
    InputTap* tap;            // may be null
    const ExpertRouter* router;  // may be null: the model's own choice
  };
  void Run(const Call& call);

  // What the last call chose.
  const ExpertChoices& choices() const { return choices_; }

 private:
  void Route(const Call& call);
  void Gather(const Call& call);
  void Activate(const Call& call);     // activated_ = p activation(gate) * up
  void TapExperts(const Call& call);
  void Down();
  void AddExperts(const Call& call);
  void AddShared(const Call& call);
  // Calls body(expert, first, rows, thread) for blocks of places of each expert.
  template <typename Body>
  void ForBlocks(Body body);

  const ModelConfig& config_;
  ThreadPool& pool_;
  const LayerWeights* weights_ = nullptr;  // of the call
  std::vector<float> logits_;              // rows x experts
  ExpertChoices choices_;
  ExpertGroups groups_;
  std::vector<float> gathered_;            // a row a place: what its expert reads, then what it gives
  std::vector<float> activated_;
  std::vector<std::vector<float>> inner_;  // by thread: gate and up of a block
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_EXPERT_PASS_H_
