// What a layer is made of. A block reads the residual stream, adds to it, and knows the way back, the tensors it reads, the
// inputs it shows to calibration and the memory it takes. It is one object for all layers: what differs between them comes
// with the call. Each of its files in this folder says everything of one kind of block.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_BLOCK_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_BLOCK_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/forward/blocks/residual.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/input_tap.h"
#include "core/forward/slots.h"

namespace nashswarm::forward {

// Rows that a feed-forward part takes at a time on the way back: enough for whole blocks of every product.
inline constexpr uint64_t kPortionBack = 1024;

// A linear layer by the part of its name between "blk.N." and ".weight", without the number of an expert, and what it reads.
struct LinearInput {
  std::string_view part, input;
};

// Of one layer, as floats; each block has its own.
struct BlockWeights {
  virtual ~BlockWeights() = default;
};

// What a block remembers of the tokens of sequences that are continued: `windows` times Block::StateFloats(capacity).
struct BlockState {
  float* data;
  uint64_t capacity;  // tokens a sequence
  uint64_t first;     // tokens that were there before: the call's come after them
};

// All pointers outlive the call.
struct BlockCall {
  uint64_t layer = 0;
  const BlockWeights* weights = nullptr;  // made by the block
  uint64_t windows = 0, length = 0;
  Residual* residual = nullptr;
  uint64_t portion = 0;                // rows to do at a time, where a block needs not all of them
  bool keep = false;                   // Backward follows, for the same layer and batch
  const BlockState* state = nullptr;   // null: every window begins with the call, and ends with it
  InputTap* tap = nullptr;             // then portions are all rows
  const ExpertRouter* router = nullptr;  // likewise; null: the model's own choice

  uint64_t rows() const { return windows * length; }
  void Tell(std::string_view input, const float* x, uint64_t tokens, uint64_t width) const {
    if (tap != nullptr) tap->Input(absl::StrCat("blk.", layer, ".", std::string(input)), x, tokens, width);
  }
};

struct BlockGradientCall {
  uint64_t layer = 0;
  const BlockWeights* weights = nullptr;
  uint64_t windows = 0, length = 0;
  ResidualGradient* residual = nullptr;
  GradientTap* tap = nullptr;

  uint64_t rows() const { return windows * length; }
  void Tell(std::string_view part, const TokenRows& gradients) const {
    tap->Output(absl::StrCat("blk.", layer, ".", std::string(part), ".weight"), gradients);
  }
};

// Keeps its buffers from call to call. One call at a time.
class Block {
 public:
  virtual ~Block() = default;
  virtual std::unique_ptr<BlockWeights> MakeWeights() const = 0;
  // The tensors of one layer and their places in `weights`, which MakeWeights made.
  virtual void AddSlots(BlockWeights* weights, Slots* slots) const = 0;
  // Floats of a BlockState of one window. Those of all windows lie one after the other in whatever order the block likes.
  virtual uint64_t StateFloats(uint64_t /*capacity*/) const { return 0; }

  virtual void Forward(const BlockCall& call) = 0;
  // Whether Backward reads what a Forward with `keep` has left; otherwise it makes again what it needs.
  virtual bool keeps() const = 0;
  virtual void Backward(const BlockGradientCall& call) = 0;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_BLOCK_H_
