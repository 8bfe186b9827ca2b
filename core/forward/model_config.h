// A decoder-only transformer as its file describes it: sizes that hold for all of it, and those of each block.
#ifndef NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_
#define NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/forward/blocks/attention.h"
#include "core/forward/blocks/embedding.h"
#include "core/forward/blocks/experts.h"
#include "core/forward/blocks/head.h"
#include "core/forward/blocks/mlp.h"
#include "core/forward/blocks/norm.h"
#include "core/forward/weights.h"
#include "core/model/design.h"

namespace nashswarm::forward {

// A block of a layer, and how it hangs on the residual stream.
struct BranchConfig {
  enum class Block { kAttention, kMlp, kExperts } block;
  model::BranchDesign wiring;
};

struct ModelConfig {
  uint64_t layers = 0, width = 0, context = 0, vocabulary = 0;
  NormConfig norm;
  EmbeddingConfig embedding;
  HeadConfig head;
  AttentionConfig attention;
  MlpConfig mlp;
  ExpertsConfig experts;               // a count of 0: no layer has them, and it is mlp that they have; otherwise the other way
  std::vector<BranchConfig> branches;  // of every layer, in order

  // Hidden units of a token in a layer; with experts the greater of those of its own and of the shared one.
  uint64_t hidden_units() const;
};

// Hyperparameters and the tensors outside the layers, checked. INVALID_ARGUMENT with ARCHITECTURE_UNKNOWN, CONFIG_INVALID,
// MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE.
absl::StatusOr<ModelConfig> ReadModelConfig(const Weights& weights);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_MODEL_CONFIG_H_
