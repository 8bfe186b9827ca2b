// Maps a checkpoint of an architecture of the table (architecture_table.h) to the roles, names and orientation that GGUF
// expects. Names and hyperparameter keys: the GGUF specification and llama.cpp's model loader.
#ifndef NASHSWARM_CORE_MODEL_ARCHITECTURE_H_
#define NASHSWARM_CORE_MODEL_ARCHITECTURE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::model {

// Experts of a layer, far beyond any model: whatever a file says, lists of them stay small.
inline constexpr uint64_t kMaxExperts = 1 << 12;

enum class Role {
  kTokenEmbedding,
  kPositionEmbedding,
  kOutput,
  kQuery,
  kKey,
  kValue,
  kQueryKeyValue,
  kAttentionOutput,
  kFfnGate,
  kFfnUp,
  kFfnDown,
  kRouter,  // a row an expert; its logits choose the experts of a token
  kNorm,
  kBias,
  kRopeFactors,
};
std::string_view NameOf(Role role);

// How the rows of the stored tensor come from the checkpoint's.
enum class Layout {
  kRows,        // as they are
  kTransposed,  // GPT-2's Conv1D keeps [in, out]; rows here are outputs
  kHeadPairs,   // within every head, rotary partners (i, i + d/2) become neighbours (2i, 2i + 1)
};

// A tensor as it will be stored: `rows` rows of `row_weights` weights (vectors are one row). A matrix of an expert is one too:
// GGUF stacks the experts of a layer into one tensor of three dimensions and one format, nsq keeps them apart.
struct MappedTensor {
  std::string name;                                    // in GGUF; of an expert "blk.0.ffn_up.3.weight"
  const checkpoint::SourceTensor* source = nullptr;    // lives as long as the Checkpoint; null for `constant`
  Role role = Role::kNorm;
  int layer = -1;                                      // -1: outside the layers
  int expert = -1;                                     // -1: of no expert, or of the shared one
  double token_share = 1;                              // of tokens that it works on, where all experts are used alike
  Layout layout = Layout::kRows;
  uint64_t head_rows = 0;                              // of kHeadPairs: rows a head has
  uint64_t rows = 0, row_weights = 0;                  // stored, zero padding included
  uint64_t source_rows = 0, source_row_weights = 0;    // without padding; the rest is zero
  bool vector = false;                                 // stored with one dimension
  float plus = 0;                                      // added to every weight: Gemma's norms multiply by 1 + weight
  // What config.json says of the scores of attention by layer, and GGUF has no key for, is in the weights and the bias of the
  // queries: so many outputs (rows of a matrix, weights of a vector), from the first on, are the checkpoint's times `scale`.
  uint64_t scaled = 0;
  float scale = 1;
  std::vector<float> constant;                         // values of a tensor the checkpoint does not have

  uint64_t weights() const { return rows * row_weights; }
  // Name for people and rules: the checkpoint's, or GGUF's for a constant.
  const std::string& source_name() const { return source != nullptr ? source->name : name; }
  // Vectors are a thousandth of a model and stay exact, and so do routers: an error there sends tokens to other experts.
  bool is_player() const { return !vector && role != Role::kRouter; }
};

// The tensor of a GGUF file that holds a matrix of an expert: "blk.0.ffn_up_exps.weight" for "blk.0.ffn_up.3.weight". Other
// tensors are held by themselves. The experts of a stack follow one another in Model::tensors.
std::string StackOf(const MappedTensor& tensor);
// The name of expert `expert` in such a stack; "" when `stack` is none.
std::string NameInStack(std::string_view stack, uint64_t expert);

struct Model {
  std::string architecture;                            // as GGUF names it
  uint64_t embedding_rows = 0;                         // vocabulary size
  std::vector<checkpoint::GgufMetadata> hyperparameters;
  std::vector<MappedTensor> tensors;                   // in file order
  uint64_t parameters = 0;                             // of the checkpoint: a tied weight once, no padding
  std::vector<std::string> warnings;
};

// INVALID_ARGUMENT with the reasons ARCHITECTURE_UNKNOWN (lists the known ones), CONFIG_INVALID (a hyperparameter is
// missing or out of range), MODEL_TENSOR_MISSING, MODEL_TENSOR_SHAPE, MODEL_TENSOR_UNKNOWN (a weight that would be
// lost), MODEL_TENSOR_DTYPE; FAILED_PRECONDITION with those of RefuseQuantized (checkpoint/quantized.h).
absl::StatusOr<Model> MapModel(const checkpoint::Checkpoint& checkpoint);

// The same tensor with its rows in the checkpoint's order, unpadded and as they are there (nothing added or scaled): what nsq stores.
MappedTensor InCheckpointOrder(const MappedTensor& tensor);
// `values`, rows x row_weights of `tensor`, brought into that order and scale: source_rows x source_row_weights.
std::vector<float> ToCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> values, uint64_t row_weights);
// What squared errors of the rows weigh, one value a row, as weights of squared errors of the checkpoint's rows.
std::vector<float> RowWeightsInCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> weights);

// The inverse for a whole matrix: source_rows x source_row_weights become rows x row_weights, padding zero.
std::vector<float> FromCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> values);

// Rows [first, first + count) of `tensor` as floats, `count * row_weights` values, into `out`.
void ReadRows(const MappedTensor& tensor, uint64_t first, uint64_t count, float* out);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_ARCHITECTURE_H_
