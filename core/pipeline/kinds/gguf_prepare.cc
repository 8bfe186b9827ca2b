// PREPARE of a GGUF artifact: who may play which format, and what the file takes beside the tensors.
#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/kinds/gguf_stages.h"
#include "core/pipeline/rules.h"

namespace nashswarm::pipeline {
namespace {

using quant::Format;

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

// Every tensor of the model, in its order; who shares a tensor of the file with whom.
std::vector<PreparedTensor> TensorsOf(const model::Model& model) {
  std::vector<PreparedTensor> tensors;
  size_t first = 0;  // of the stack
  const auto end_stack = [&] {
    for (size_t t = first; t < tensors.size(); ++t) tensors[t].stack_size = tensors.size() - first;
    first = tensors.size();
  };
  for (size_t m = 0; m < model.tensors.size(); ++m) {
    const model::MappedTensor& tensor = model.tensors[m];
    std::string stack = model::StackOf(tensor);
    if (m > 0 && stack != tensors.back().stack) end_stack();
    const uint64_t place = m - first;
    tensors.push_back({tensor.name, tensor.source_name(), std::string(model::NameOf(tensor.role)), tensor.rows, tensor.row_weights,
                       tensor.vector, FormatsFor(tensor), std::move(stack), place, 1, m});
  }
  end_stack();
  return tensors;
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

}  // namespace

absl::Status PrepareGguf(const Task& task, const OpenModel& open, Prepared* prepared) {
  const HeadOptions options = HeadOptionsOf(task.spec);
  NS_ASSIGN_OR_RETURN(GgufHead head, MakeGgufHead(open, options));
  prepared->warnings.insert(prepared->warnings.end(), head.warnings.begin(), head.warnings.end());
  // Before the work begins; PUBLISH looks at the file itself.
  checkpoint::GgufFile written;
  written.metadata = head.metadata;
  NS_RETURN_IF_ERROR(CheckTokenizer(head, written, options, task.sample_path(), &prepared->warnings));
  // Which order it is to be shows later; what it takes shows now.
  if (ReordersExperts(task.spec, open.model)) artifact::AppendExpertOrders(OriginalOrders(open.model), &head.metadata);
  prepared->tensors = TensorsOf(open.model);
  NS_RETURN_IF_ERROR(ApplyRules(task.spec.rules, open.model, Gguf(), prepared));
  NS_RETURN_IF_ERROR(CheckStacks(*prepared));
  WarnOfNarrowRows(prepared);
  prepared->header_bytes = HeaderBytes(head.metadata, *prepared);
  return absl::OkStatus();
}

}  // namespace nashswarm::pipeline
