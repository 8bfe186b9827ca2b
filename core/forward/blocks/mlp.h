// A feed-forward part with one hidden layer. Tensors: ffn_gate, ffn_up, ffn_down.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_MLP_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_MLP_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/blocks/block.h"
#include "core/forward/hyperparameters.h"
#include "core/forward/matrix.h"
#include "core/forward/tiling.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct MlpConfig {
  model::MlpDesign design;
  uint64_t width = 0, hidden = 0;  // hidden: units between the matrices

  // What it takes, in floats: the matrices of a layer; activations of `rows` tokens; those that the way back has of them.
  uint64_t weight_floats() const { return (design.gated ? 3 : 2) * hidden * width; }
  uint64_t activation_floats(uint64_t rows) const { return rows * hidden; }
  uint64_t gradient_floats(uint64_t rows) const { return std::min(rows, kPortionBack) * (3 * hidden + 2 * width); }
};
MlpConfig ReadMlp(const model::MlpDesign& design, uint64_t width, Hyperparameters* read);

absl::Span<const LinearInput> MlpInputs();

// y = activation(x) [* up], n values; y may be either input. `up` is not read unless the design is gated.
void Activate(const model::MlpDesign& design, const float* x, const float* up, uint64_t n, float* y);

class MlpBlock : public Block {
 public:
  MlpBlock(const MlpConfig& config, ThreadPool& pool) : config_(config), pool_(pool), tiles_(pool.threads()) {}  // both outlive this

  std::unique_ptr<BlockWeights> MakeWeights() const override;
  void AddSlots(BlockWeights* weights, Slots* slots) const override;
  void Forward(const BlockCall& call) override;
  bool keeps() const override { return false; }
  void Backward(const BlockGradientCall& call) override;

 private:
  struct MlpWeights : BlockWeights {
    Matrix in;  // gate above up, or up alone
    Matrix down;
  };
  static const MlpWeights& Of(const BlockWeights* weights) { return static_cast<const MlpWeights&>(*weights); }

  void ForwardRows(const BlockCall& call, uint64_t first, uint64_t rows);
  void ActivateTile(const Matrix& in, const float* normed, const Tiling::Tile& tile, int thread);
  void BackwardRows(const BlockGradientCall& call, uint64_t first, uint64_t rows);

  const MlpConfig& config_;
  ThreadPool& pool_;
  std::vector<float> activated_;           // of a portion
  std::vector<std::vector<float>> tiles_;  // by thread: a tile of gate and up
  std::vector<float> normed_, in_, down_;  // of a portion, on the way back
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_MLP_H_
