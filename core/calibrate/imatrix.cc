#include "core/calibrate/imatrix.h"

#include <utility>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/calibrate/imatrix_file.h"
#include "core/checkpoint/gguf.h"
#include "core/forward/transformer.h"

namespace nashswarm::calibrate {
namespace {

using checkpoint::GgufTensor;
using checkpoint::GgufValue;

constexpr char kSums[] = ".in_sum2", kCounts[] = ".counts";

// Row `index` of `from`, whose rows are `given` wide; zero up to `stored`, since units that pad a width are fed nothing.
std::vector<float> Row(const std::vector<float>& from, uint64_t index, uint64_t given, uint64_t stored) {
  const auto first = from.begin() + static_cast<ptrdiff_t>(index * given);
  std::vector<float> row(first, first + static_cast<ptrdiff_t>(given));
  row.resize(stored, 0.0f);
  return row;
}

// Experts are stacked: a row of sums and a count for each of the `stacked` (the older form has one count for all), and an expert
// that was not used has none. Other tensors have one. Rows are as wide as the tensor is stored, or as it is in the checkpoint,
// without padding.
absl::StatusOr<InputMoment> MomentOf(const ImatrixEntry& entry, const std::string& name, const model::MappedTensor& tensor,
                                     uint64_t stacked, const std::string& path) {
  const uint64_t expert = tensor.expert < 0 ? 0 : static_cast<uint64_t>(tensor.expert);
  const uint64_t values = entry.sums.size(), counts = entry.counts.size();
  const uint64_t width = values == stacked * tensor.row_weights ? tensor.row_weights : tensor.source_row_weights;
  if (values != stacked * width || (counts != stacked && counts != 1)) {
    return ImatrixInvalid(path, absl::StrCat("'", name, "' has ", values, " values and ", counts, " counts, the tensor's rows have ",
                                             tensor.source_row_weights));
  }
  const float count = entry.counts[counts == 1 ? 0 : expert];
  if (tensor.expert < 0 && count <= 0) return ImatrixInvalid(path, absl::StrCat("the count of '", name, "' is not positive"));
  InputMoment moment{tensor.row_weights, false, Row(entry.sums, expert, width, tensor.row_weights)};
  for (uint64_t i = 0; i < width; ++i) moment.values[i] = count > 0 ? moment.values[i] / count : 1;
  return moment;
}

}  // namespace

absl::StatusOr<std::map<std::string, InputMoment>> ReadImatrix(const std::string& path, const model::Model& model,
                                                               bool tied_head) {
  NS_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(const auto entries, ParseImatrix(file->bytes(), path));
  std::map<std::string, uint64_t> stacks;  // members by name
  for (const model::MappedTensor& tensor : model.tensors) ++stacks[model::StackOf(tensor)];
  std::map<std::string, InputMoment> moments;
  for (const model::MappedTensor& tensor : model.tensors) {
    const std::string input = forward::InputOf(tensor.name, tied_head);
    if (input.empty() || !tensor.is_player() || moments.contains(input)) continue;
    auto entry = entries.find(model::StackOf(tensor));
    // A tied head goes by either name.
    if (entry == entries.end() && tensor.role == model::Role::kTokenEmbedding) entry = entries.find("output.weight");
    if (entry == entries.end()) continue;
    NS_ASSIGN_OR_RETURN(moments[input], MomentOf(entry->second, entry->first, tensor, stacks[model::StackOf(tensor)], path));
  }
  if (!moments.empty()) return moments;
  return MakeError(absl::StatusCode::kInvalidArgument, "IMATRIX_FOREIGN",
                   absl::StrCat(path, ": has no tensor of this model"),
                   "an importance matrix must be made from the same model");
}

absl::Status WriteImatrix(const std::string& path, const model::Model& model, bool tied_head, const Moments& moments,
                          uint64_t tokens, uint64_t context, const std::string& text) {
  std::vector<GgufTensor> tensors;
  std::vector<std::vector<float>> data;
  const auto add = [&](std::string name, std::vector<float> values, uint64_t rows) {
    GgufTensor tensor{std::move(name), {values.size() / rows, rows}, quant::Format::kF32, 0, values.size() * sizeof(float)};
    tensors.push_back(std::move(tensor));
    data.push_back(std::move(values));
  };
  std::vector<float> sums, counts;  // of the stack
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    const model::MappedTensor& tensor = model.tensors[t];
    const std::string input = forward::InputOf(tensor.name, tied_head), stack = model::StackOf(tensor);
    if (input.empty() || !tensor.is_player() || !moments.Has(input)) continue;
    const std::vector<float> used = moments.Vector(absl::StrCat(kExpertTokens, tensor.layer));
    const auto expert = static_cast<size_t>(tensor.expert);
    counts.push_back(tensor.expert >= 0 && expert < used.size() ? used[expert] : static_cast<float>(tokens));
    for (const float value : moments.Diagonal(input)) sums.push_back(value * counts.back());
    if (t + 1 < model.tensors.size() && model::StackOf(model.tensors[t + 1]) == stack) continue;
    const uint64_t members = counts.size();
    add(stack + kSums, std::exchange(sums, {}), members);
    add(stack + kCounts, std::exchange(counts, {}), members);
  }
  const std::vector<checkpoint::GgufMetadata> metadata = {
      {"general.type", GgufValue::String("imatrix")},
      {"imatrix.datasets", GgufValue::Strings({text})},
      {"imatrix.chunk_count", GgufValue::U32(static_cast<uint32_t>(tokens / std::max<uint64_t>(context, 1)))},
      {"imatrix.chunk_size", GgufValue::U32(static_cast<uint32_t>(context))}};
  const std::string header = checkpoint::SerializeGgufHeader(metadata, &tensors);
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  NS_RETURN_IF_ERROR(file.Append(header));
  for (size_t t = 0; t < tensors.size(); ++t) {
    NS_RETURN_IF_ERROR(file.WriteAt(header.size() + tensors[t].offset,
                                    {reinterpret_cast<const uint8_t*>(data[t].data()), tensors[t].bytes}));
  }
  NS_RETURN_IF_ERROR(file.Truncate(header.size() + AlignUp(tensors.back().offset + tensors.back().bytes,
                                                          checkpoint::kGgufAlignment)));
  return file.Commit();
}

}  // namespace nashswarm::calibrate
