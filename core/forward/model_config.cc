#include "core/forward/model_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/forward/hyperparameters.h"
#include "core/model/architecture_table.h"

namespace nashswarm::forward {
namespace {

// Far beyond any model; keeps lists by layer small whatever a file says.
constexpr uint64_t kMaxLayers = 1 << 16;

std::vector<BranchConfig> BranchesOf(const model::Design& design, bool experts) {
  std::vector<BranchConfig> branches;
  for (const model::BranchDesign& wiring : design.layer) {
    switch (wiring.block) {
      case model::BlockKind::kAttention:
        branches.push_back({BranchConfig::Block::kAttention, wiring});
        break;
      case model::BlockKind::kFeedForward:
        branches.push_back({experts ? BranchConfig::Block::kExperts : BranchConfig::Block::kMlp, wiring});
        break;
    }
  }
  return branches;
}

}  // namespace

uint64_t ModelConfig::hidden_units() const { return experts.count > 0 ? experts.hidden_units() : mlp.hidden; }

absl::StatusOr<ModelConfig> ReadModelConfig(const Weights& weights) {
  const model::Design* design = weights.design();
  if (design == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ARCHITECTURE_UNKNOWN",
                     absl::StrCat(weights.name(), ": cannot run architecture '", weights.architecture(), "'"),
                     absl::StrCat(model::ListGgufArchitectures(), " can be run"));
  }
  ModelConfig config;
  Hyperparameters read(weights);
  config.layers = read.Count("block_count");
  config.context = read.Count("context_length");
  config.width = read.Count("embedding_length");
  if (config.layers > kMaxLayers) read.Fail("'block_count' is beyond all measure");
  config.norm = ReadNorm(*design, &read);
  config.mlp = ReadMlp(design->mlp, config.width, &read);
  config.experts = ReadExperts(*design, config.width, &read);
  // Each factor is below 2^31, so nothing overflows.
  if (2 * config.hidden_units() > kMaxExtent) read.Fail("a layer is beyond all measure");
  if (read.ok()) config.attention = ReadAttention(design->attention, config.norm, config.layers, config.width, config.context, &read);
  NS_RETURN_IF_ERROR(read.status());
  config.branches = BranchesOf(*design, config.experts.count > 0);

  NS_ASSIGN_OR_RETURN(config.embedding, ReadEmbedding(*design, config.width, config.context, weights));
  config.vocabulary = config.embedding.vocabulary;
  NS_ASSIGN_OR_RETURN(config.head, ReadHead(config.norm, config.width, config.vocabulary, weights));
  NS_RETURN_IF_ERROR(ReadRopeDivisors(weights, &config.attention));
  return config;
}

}  // namespace nashswarm::forward
