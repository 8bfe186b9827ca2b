// The forward pass of a decoder-only transformer in F32: logits of every position of one or more windows of tokens.
//
// A layer runs over all windows before the next layer's weights are touched, so memory is one layer (or all of them, when
// they fit `weight_bytes`) plus the activations of the batch. Tokens are cut into blocks by shape alone and a thread works
// on one block with a single-threaded BLAS, so results do not depend on the number of threads.
// Architectures: those of the table (core/model/architecture_table.h), whose layers are made of the blocks in blocks/.
#ifndef NASHSWARM_CORE_FORWARD_TRANSFORMER_H_
#define NASHSWARM_CORE_FORWARD_TRANSFORMER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/forward/input_tap.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

struct Options {
  int threads = 0;                     // 0: every core
  uint64_t weight_bytes = UINT64_MAX;  // keep layers as floats between calls while they fit into this much
};

// Windows of equal length, one after the other.
struct Batch {
  std::vector<int32_t> tokens;  // windows * length
  uint64_t windows = 0, length = 0;
};

class Transformer {
 public:
  // Reads hyperparameters and checks every tensor's shape; no matrix is read yet. INVALID_ARGUMENT with
  // ARCHITECTURE_UNKNOWN, CONFIG_INVALID, MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE.
  static absl::StatusOr<std::unique_ptr<Transformer>> Open(std::shared_ptr<const Weights> weights, Options options);
  virtual ~Transformer() = default;

  virtual uint64_t layers() const = 0;
  virtual uint64_t width() const = 0;       // of the hidden state
  virtual uint64_t vocabulary() const = 0;  // logits per position
  virtual uint64_t context() const = 0;     // longest window the model was made for
  virtual bool tied_head() const = 0;
  virtual uint64_t experts() const = 0;       // of a layer; 0: no mixture
  virtual uint64_t experts_used() const = 0;  // of a token
  virtual bool normalized_experts() const = 0;  // the weights of a token's experts add up to 1
  // From the next RunLayer on; an empty one leaves the choice to the model. Nothing without experts.
  virtual void SetRouter(ExpertRouter router) = 0;

  // The steps of a run. `hidden` is windows * length * width floats, a row a token; the caller keeps it, and may keep
  // copies to start again at a later layer. OUT_OF_RANGE / TOKEN_OUT_OF_RANGE for a token beyond the vocabulary,
  // INVALID_ARGUMENT / CONTEXT_TOO_LONG for length > context().
  virtual absl::Status Embed(const Batch& batch, float* hidden) = 0;
  // Runs layer `layer` in place. `tap` may be null. `instead`, when not null, gives this layer's weights for this call
  // alone (same shapes): what a changed tensor does to the model. DATA_LOSS / NON_FINITE_ACTIVATIONS names the layer when
  // the result is not finite, and the tensor when a weight is the reason; `hidden` is then spoilt.
  // (Calls whose counts do not fit the model or memory's addresses: BATCH_SHAPE, BATCH_TOO_LARGE, LAYER_OUT_OF_RANGE.)
  virtual absl::Status RunLayer(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, InputTap* tap,
                                const Weights* instead) = 0;
  // Final norm, in place, rows * width.
  virtual absl::Status FinalNorm(uint64_t rows, float* hidden, InputTap* tap) = 0;
  // logits[rows x vocabulary] from normed hidden states. Threads share the rows and the vocabulary.
  virtual absl::Status Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead) = 0;

  // Embed, every layer, final norm.
  absl::Status Run(const Batch& batch, float* hidden, InputTap* tap);

  // One thread at a time may use a Transformer and its sessions, which it outlives.
  //
  // Continues `windows` sequences in lockstep, keeping keys and values: Step takes the next `count` tokens of each
  // sequence (windows * count) and gives the logits after the last of them, windows * vocabulary.
  class Session {
   public:
    virtual ~Session() = default;
    virtual absl::Status Step(absl::Span<const int32_t> tokens, uint64_t count, float* logits) = 0;
    virtual uint64_t position() const = 0;  // tokens taken so far, per sequence
  };
  // `capacity`: tokens per sequence, at most context().
  virtual absl::StatusOr<std::unique_ptr<Session>> Start(uint64_t windows, uint64_t capacity) = 0;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_TRANSFORMER_H_
