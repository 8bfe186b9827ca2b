#include "core/calibrate/imatrix.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/checkpoint/gguf.h"
#include "core/forward/transformer.h"

namespace nashswarm::calibrate {
namespace {

using checkpoint::GgufTensor;
using checkpoint::GgufValue;

constexpr char kSums[] = ".in_sum2", kCounts[] = ".counts";

absl::Status Invalid(const std::string& path, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "IMATRIX_INVALID", absl::StrCat(BaseName(path), ": ", why),
                   "make one with: nashswarm calibrate DIR --text FILE -o imatrix.gguf, or llama-imatrix --output-format gguf");
}

const GgufTensor* FindTensor(const checkpoint::GgufFile& gguf, const std::string& name) {
  for (const GgufTensor& tensor : gguf.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

absl::StatusOr<std::vector<float>> ReadFloats(const MappedFile& file, const checkpoint::GgufFile& gguf,
                                              const GgufTensor& tensor) {
  if (tensor.format != quant::Format::kF32) return Invalid(file.path(), absl::StrCat("'", tensor.name, "' is not F32"));
  std::vector<float> values(tensor.bytes / sizeof(float));
  std::memcpy(values.data(), file.bytes().data() + gguf.data_begin + tensor.offset, values.size() * sizeof(float));
  for (const float value : values) {
    if (!std::isfinite(value) || value < 0) {
      return Invalid(file.path(), absl::StrCat("'", tensor.name, "' has a negative or non-finite value"));
    }
  }
  return values;
}

// Experts are stacked: a row of sums and a count for each, and an expert that was not used has none. Other tensors have one.
absl::StatusOr<InputMoment> ReadMoment(const MappedFile& file, const checkpoint::GgufFile& gguf, const GgufTensor& sums,
                                       const std::string& name, const model::MappedTensor& tensor) {
  const uint64_t width = tensor.row_weights, expert = tensor.expert < 0 ? 0 : static_cast<uint64_t>(tensor.expert);
  NS_ASSIGN_OR_RETURN(const std::vector<float> values, ReadFloats(file, gguf, sums));
  const GgufTensor* counts = FindTensor(gguf, name + kCounts);
  if (counts == nullptr) return Invalid(file.path(), absl::StrCat("'", name, kCounts, "' is missing"));
  NS_ASSIGN_OR_RETURN(const std::vector<float> count, ReadFloats(file, gguf, *counts));
  if (values.size() != width * count.size() || expert >= count.size() || (tensor.expert < 0 && count.size() != 1)) {
    return Invalid(file.path(), absl::StrCat("'", sums.name, "' has ", values.size(), " values and ", count.size(),
                                             " counts, the tensor's rows have ", width));
  }
  if (tensor.expert < 0 && count[0] <= 0) return Invalid(file.path(), absl::StrCat("'", counts->name, "' is no positive count"));
  const auto first = values.begin() + static_cast<ptrdiff_t>(expert * width);
  InputMoment moment{width, false, {first, first + static_cast<ptrdiff_t>(width)}};
  for (float& value : moment.values) value = count[expert] > 0 ? value / count[expert] : 1;
  return moment;
}

}  // namespace

absl::StatusOr<std::map<std::string, InputMoment>> ReadImatrix(const std::string& path, const model::Model& model,
                                                               bool tied_head) {
  NS_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const absl::StatusOr<checkpoint::GgufFile> gguf = checkpoint::ParseGguf(file->bytes(), BaseName(path));
  if (!gguf.ok()) return Invalid(path, std::string(gguf.status().message()));
  std::map<std::string, InputMoment> moments;
  for (const model::MappedTensor& tensor : model.tensors) {
    const std::string input = forward::InputOf(tensor.name, tied_head);
    if (input.empty() || !tensor.is_player() || moments.contains(input)) continue;
    std::string name = model::StackOf(tensor);
    const GgufTensor* sums = FindTensor(*gguf, name + kSums);
    if (sums == nullptr && tensor.role == model::Role::kTokenEmbedding) {  // a tied head goes by either name
      name = "output.weight";
      sums = FindTensor(*gguf, name + kSums);
    }
    if (sums == nullptr) continue;
    NS_ASSIGN_OR_RETURN(moments[input], ReadMoment(*file, *gguf, *sums, name, tensor));
  }
  if (moments.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "IMATRIX_FOREIGN",
                     absl::StrCat(BaseName(path), ": has no tensor of this model"),
                     "an importance matrix must be made from the same model; in GGUF form, not the older .dat");
  }
  return moments;
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
