// PREPARE: open and validate everything, map the architecture, decide who may play which strategy, cut into shards.
#include <algorithm>

#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/needs.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

// A shard is at least this many weights, so that starting a task (tens of milliseconds) costs little next to it, and
// small enough that a crash loses seconds. There are at most kMaxShards, for the sake of the job's bookkeeping.
constexpr uint64_t kShardWeights = 16u << 20;
constexpr uint64_t kMaxShards = 256;

void CutIntoShards(Prepared* prepared) {
  uint64_t total = 0;
  for (const PreparedTensor& tensor : prepared->tensors) total += tensor.weights();
  const uint64_t least = std::max(kShardWeights, total / kMaxShards + 1);
  size_t first = 0;
  uint64_t weights = 0;
  for (size_t t = 0; t < prepared->tensors.size(); ++t) {
    weights += prepared->tensors[t].weights();
    if (!prepared->tensors[t].ends_stack()) continue;  // no alignment within one
    if (weights >= least || t + 1 == prepared->tensors.size()) {
      prepared->shards.push_back({first, t + 1});
      first = t + 1;
      weights = 0;
    }
  }
}

}  // namespace

absl::StatusOr<Json> Validate(const Task& task) {
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const tokenizer::Directory directory, tokenizer::OpenDirectory(task.model_dir, open.checkpoint->config()));
  NS_ASSIGN_OR_RETURN(const tokenizer::Description description, tokenizer::DescribeTokenizer(directory));
  // Whether a GGUF can hold it shows when one is asked for.
  const auto vocabulary = tokenizer::MakeVocabulary(description, directory, open.model.embedding_rows, {.allow_mismatch = true});
  NS_RETURN_IF_ERROR(vocabulary.status());
  return Json{{"architecture", open.model.architecture},
              {"parameters", open.model.parameters},
              {"tensors", open.model.tensors.size()},
              {"weight_bytes", open.checkpoint->weight_bytes()}};
}

absl::StatusOr<Json> Prepare(const Task& task) {
  NS_ASSIGN_OR_RETURN(const ArtifactKind* kind, FindKind(task.spec.format));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  Prepared prepared;
  prepared.format = task.spec.format;
  prepared.model_name = CardOf(open, HeadOptionsOf(task.spec)).name.name;
  prepared.architecture = open.model.architecture;
  prepared.parameters = open.model.parameters;
  prepared.source_weight_bytes = open.checkpoint->weight_bytes();
  prepared.warnings = open.model.warnings;
  NS_RETURN_IF_ERROR(CheckExpertOrder(task.spec, open.model));
  if (task.spec.expert_order == Spec::ExpertOrder::kTogether && !ReordersExperts(task.spec, open.model)) {
    prepared.warnings.push_back("the expert order 'together' changes nothing: this model has no experts");
  }
  NS_RETURN_IF_ERROR(kind->Prepare(task, open, &prepared));
  CutIntoShards(&prepared);
  const uint64_t weights = prepared.WeightsOf({0, prepared.tensors.size()});
  for (const std::string& warning : prepared.warnings) task.observer->Log("warning", warning);

  NS_RETURN_IF_ERROR(prepared.Write(task.out_dir));
  const std::optional<JobNeeds> needs = NeedsOf(*kind, open, prepared, task);
  return Json{{"shards", prepared.shards.size()},
              {"architecture", prepared.architecture},
              {"parameters", prepared.parameters},
              {"tensors", prepared.tensors.size()},
              {"weights", weights},
              {"needs", needs ? ToSortedJson(*needs) : Json::object()}};
}

std::string Task::sample_path() const {
  if (spec.evaluation_text) return evaluation_path;
  return spec.calibration == Spec::Calibration::kText ? calibration_path : "";
}

}  // namespace nashswarm::pipeline
