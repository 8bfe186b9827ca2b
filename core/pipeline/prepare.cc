// PREPARE: open and validate everything, map the architecture, decide who may play which strategy, cut into shards.
#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/needs.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/rules.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

using quant::Format;

// A shard is at least this many weights, so that starting a task (tens of milliseconds) costs little next to it, and
// small enough that a crash loses seconds. There are at most kMaxShards, for the sake of the job's bookkeeping.
constexpr uint64_t kShardWeights = 16u << 20;
constexpr uint64_t kMaxShards = 256;

constexpr uint64_t kWideBlock = 256;

std::vector<Format> FormatsFor(const model::MappedTensor& tensor) {
  if (!tensor.is_player()) return {Format::kF32};
  std::vector<Format> formats;
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    if (info.offered && quant::FitsRow(info.format, tensor.row_weights)) formats.push_back(info.format);
  }
  return formats;
}

// Rows that do not divide by 256 cannot take a K-quant: says so, by row length.
void WarnOfNarrowRows(Prepared* prepared) {
  std::map<uint64_t, uint64_t> weights_by_row;
  uint64_t total = 0;
  for (const PreparedTensor& tensor : prepared->tensors) {
    if (tensor.vector) continue;
    total += tensor.weights();
    if (tensor.row_weights % kWideBlock != 0) weights_by_row[tensor.row_weights] += tensor.weights();
  }
  for (const auto& [row, weights] : weights_by_row) {
    std::vector<std::string> names;
    for (const quant::FormatInfo& info : quant::AllFormats()) {
      if (info.offered && quant::FitsRow(info.format, row)) names.emplace_back(info.name);
    }
    prepared->warnings.push_back(absl::StrFormat(
        "FALLBACK: rows of %d weights (%.1f %% of the model) do not divide by 256, so no K-quant fits them; they take one of %s",
        row, 100.0 * weights / std::max<uint64_t>(total, 1), absl::StrJoin(names, ", ")));
  }
}

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

// The header's length does not depend on the formats: every tensor entry has the same size in any.
uint64_t HeaderBytes(const std::vector<checkpoint::GgufMetadata>& metadata, const Prepared& prepared) {
  std::vector<checkpoint::GgufTensor> tensors;
  for (const PreparedTensor& tensor : prepared.tensors) {
    if (tensor.place > 0) continue;
    checkpoint::GgufTensor entry{tensor.stack, {}, Format::kF32, 0, 0};
    entry.dims.assign(tensor.vector ? 1 : tensor.stack != tensor.name ? 3 : 2, 1);
    tensors.push_back(std::move(entry));
  }
  return checkpoint::SerializeGgufHeader(metadata, &tensors).size();
}

// Who shares a tensor of the file with whom.
void FindStacks(const model::Model& model, Prepared* prepared) {
  size_t first = 0;
  for (size_t t = 0; t < prepared->tensors.size(); ++t) {
    prepared->tensors[t].stack = model::StackOf(model.tensors[t]);
    if (prepared->tensors[t].stack != prepared->tensors[first].stack) first = t;
    prepared->tensors[t].place = t - first;
    for (size_t s = first; s <= t; ++s) prepared->tensors[s].stack_size = t - first + 1;
  }
}

// A stack has one format; rules may give its experts others.
absl::Status CheckStacks(const Prepared& prepared) {
  for (size_t t = 1; t < prepared.tensors.size(); ++t) {
    const PreparedTensor &tensor = prepared.tensors[t], &before = prepared.tensors[t - 1];
    if (tensor.place == 0 || tensor.formats == before.formats) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "RULE_INVALID",
                     absl::StrCat("rules give '", tensor.source, "' another format than '", before.source,
                                  "', and GGUF stores the experts of a layer in one tensor of one format"),
                     "name all experts of the layer in one pattern, or use --format nsq");
  }
  return absl::OkStatus();
}

// Tensors, and what the file takes beside them.
absl::Status PrepareGguf(const Task& task, const OpenModel& open, Prepared* prepared) {
  const HeadOptions options = HeadOptionsOf(task.spec);
  NS_ASSIGN_OR_RETURN(GgufHead head, MakeGgufHead(open, options));
  prepared->warnings.insert(prepared->warnings.end(), head.warnings.begin(), head.warnings.end());
  // Before the work begins; PUBLISH looks at the file itself.
  checkpoint::GgufFile written;
  written.metadata = head.metadata;
  NS_RETURN_IF_ERROR(CheckTokenizer(head, written, options, task.sample_path(), &prepared->warnings));
  std::vector<checkpoint::GgufMetadata>& metadata = head.metadata;
  // Which order it is to be shows later; what it takes shows now.
  if (ReordersExperts(task.spec, open.model)) artifact::AppendExpertOrders(OriginalOrders(open.model), &metadata);
  for (const model::MappedTensor& tensor : open.model.tensors) {
    prepared->tensors.push_back({tensor.name, tensor.source_name(), std::string(model::NameOf(tensor.role)), tensor.rows,
                                 tensor.row_weights, tensor.vector, FormatsFor(tensor)});
  }
  FindStacks(open.model, prepared);
  NS_RETURN_IF_ERROR(ApplyRules(task.spec.rules, open.model, prepared));
  NS_RETURN_IF_ERROR(CheckStacks(*prepared));
  WarnOfNarrowRows(prepared);
  prepared->header_bytes = HeaderBytes(metadata, *prepared);
  return absl::OkStatus();
}

absl::Status PrepareNsq(const Task& task, const OpenModel& open, Prepared* prepared) {
  prepared->tensors = NsqTensors(open.model);
  NS_RETURN_IF_ERROR(ApplyRules(task.spec.rules, open.model, prepared));
  const Calibrated none;
  const NsqInputs in{*prepared, open, none, HasTiedHead(open.model), {}};
  std::vector<artifact::NsqTensor> entries;
  for (size_t t = 0; t < prepared->tensors.size(); ++t) entries.push_back(IndexEntry(prepared->tensors[t], in.source(t)));
  prepared->header_bytes = artifact::NsqOverheadBound(std::move(entries));
  return absl::OkStatus();
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
  NS_RETURN_IF_ERROR(task.spec.is_nsq() ? PrepareNsq(task, open, &prepared) : PrepareGguf(task, open, &prepared));
  CutIntoShards(&prepared);
  uint64_t weights = 0;
  for (const PreparedTensor& tensor : prepared.tensors) weights += tensor.weights();
  for (const std::string& warning : prepared.warnings) task.observer->Log("warning", warning);

  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, "prepared.json"), ToJson(prepared).dump(1)));
  return Json{{"shards", prepared.shards.size()},
              {"architecture", prepared.architecture},
              {"parameters", prepared.parameters},
              {"tensors", prepared.tensors.size()},
              {"weights", weights},
              {"needs", NeedsOf(open, prepared, task)}};
}

std::string Task::sample_path() const {
  if (spec.evaluation_text) return evaluation_path;
  return spec.calibration == Spec::Calibration::kText ? calibration_path : "";
}

}  // namespace nashswarm::pipeline
