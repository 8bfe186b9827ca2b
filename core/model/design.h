// What the layers of an architecture are made of, as data: the part of its row (architectures.h) that the forward pass reads.
// Sizes are in the hyperparameters; what is here comes with the architecture's name alone.
#ifndef NASHSWARM_CORE_MODEL_DESIGN_H_
#define NASHSWARM_CORE_MODEL_DESIGN_H_

#include <cstdint>
#include <string_view>

#include "absl/types/span.h"

namespace nashswarm::model {

enum class NormKind { kRms, kLayer };  // a layer norm takes the mean off, and has a bias
enum class Activation { kSilu, kGelu, kReluSquared };  // GELU by the tanh approximation; max(x, 0)^2
enum class Rotation { kNone, kPairs, kHalves };  // of a head's dimensions: none, (2i, 2i + 1), or (i, i + d/2)
enum class HeadNorms { kNone, kEach, kAll };     // RMS norms of q and k: of every head, or of all heads together

struct AttentionDesign {
  bool fused = false;                // one tensor attn_qkv in the place of attn_q, attn_k and attn_v
  HeadNorms norms = HeadNorms::kNone;
  Rotation rotation = Rotation::kPairs;
  uint64_t unrotated_period = 0;     // the last of so many layers is not rotated; 0: every layer is
  // Layers with a sliding window, where the hyperparameters do not say:
  bool needs_window = false;         // a file without a window is no whole file
  uint64_t window_period = 0;        // the last of so many layers has none; 0: all have it
  double window_rope_base = 0;       // of their rotation; 0: that of the others
  bool window_rope_scaling = true;   // it is stretched like that of the others
};

struct MlpDesign {
  bool gated = true;                 // down(activation(gate x) * up x); otherwise down(activation(up x))
  Activation activation = Activation::kSilu;
};

struct ExpertsDesign {
  bool required = false;             // a file without experts is no whole file
  bool normalized = false;           // the weights of a token's experts add up to 1
  bool own_width = false;            // the hyperparameters have a width of experts beside that of the layer
  bool shared = false;               // one expert that every token uses, behind a gate of its own
};

enum class BlockKind { kAttention, kFeedForward };  // the latter with experts when the hyperparameters have them

// x + post_norm(block(norm(x))): what one block adds to the residual stream. Norms go by GGUF's names; "" is none.
struct BranchDesign {
  BlockKind block;
  std::string_view norm, post_norm = "";
  bool parallel = false;             // reads what the branch before it read, not what that one gave
};

struct Design {
  NormKind norm = NormKind::kRms;
  bool learned_positions = false;    // a table of positions is added to the embeddings
  bool scaled_embedding = false;     // embeddings are multiplied by the root of the width
  AttentionDesign attention;
  MlpDesign mlp;
  ExpertsDesign experts;
  absl::Span<const BranchDesign> layer;  // in their order; what lies in it is static
};

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_DESIGN_H_
