#include "core/model/mapper.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"

namespace nashswarm::model {

Mapper::Mapper(const checkpoint::Checkpoint& checkpoint, std::string architecture) : checkpoint_(checkpoint) {
  model_.architecture = std::move(architecture);
}

void Mapper::Fail(std::string_view reason, const std::string& message, std::string_view hint) {
  if (status_.ok()) status_ = MakeError(absl::StatusCode::kInvalidArgument, reason, message, hint);
}

const Json* Mapper::FindConfig(std::string_view names) const {
  for (const absl::string_view name : absl::StrSplit(ToAbsl(names), '|')) {
    const auto it = config().find(std::string(name));
    if (it != config().end() && !it->is_null()) return &*it;
  }
  return nullptr;
}

uint64_t Mapper::CountOr(std::string_view names, uint64_t fallback) {
  const Json* value = FindConfig(names);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer() || value->get<int64_t>() < 1 || value->get<int64_t>() >= (int64_t{1} << 31)) {
    Fail("CONFIG_INVALID", absl::StrCat("config.json: '", ToAbsl(names), "' is not a whole number from 1 to 2^31"),
         "take config.json from the model's own repository");
    return 1;
  }
  return value->get<uint64_t>();
}

uint64_t Mapper::Count(std::string_view names) {
  if (FindConfig(names) == nullptr) {
    Fail("CONFIG_INVALID", absl::StrCat("config.json: has no '", ToAbsl(names), "'"),
         "take config.json from the model's own repository");
    return 1;
  }
  return CountOr(names, 1);
}

double Mapper::Real(std::string_view names, double fallback) {
  const Json* value = FindConfig(names);
  if (value == nullptr) return fallback;
  if (!value->is_number()) {
    Fail("CONFIG_INVALID", absl::StrCat("config.json: '", ToAbsl(names), "' is not a number"),
         "take config.json from the model's own repository");
    return fallback;
  }
  return value->get<double>();
}

void Mapper::Put(std::string_view key, checkpoint::GgufValue value) {
  model_.hyperparameters.push_back({absl::StrCat(model_.architecture, ".", ToAbsl(key)), std::move(value)});
}

void Mapper::Matrix(std::string name, const std::string& source, Role role, int layer, Shape shape) {
  Add(std::move(name), source, role, layer, shape, /*vector=*/false);
}
void Mapper::Vector(std::string name, const std::string& source, Role role, int layer, Shape shape) {
  Add(std::move(name), source, role, layer, shape, /*vector=*/true);
}
void Mapper::OptionalVector(std::string name, const std::string& source, Role role, int layer, Shape shape) {
  if (Has(source)) Vector(std::move(name), source, role, layer, shape);
}

void Mapper::Add(std::string name, const std::string& source, Role role, int layer, Shape shape, bool vector) {
  if (!ok()) return;
  const checkpoint::SourceTensor* tensor = checkpoint_.Find(source);
  if (tensor == nullptr) {
    return Fail("MODEL_TENSOR_MISSING", absl::StrCat("the checkpoint has no tensor '", source, "'"),
                "a sharded checkpoint needs all its shards; a LoRA adapter must be merged into its base model first");
  }
  if (!checkpoint::IsWeight(tensor->dtype)) {
    return Fail("MODEL_TENSOR_DTYPE",
                absl::StrCat(tensor->file, ": tensor '", source, "' is ", ToAbsl(checkpoint::NameOf(tensor->dtype)),
                             "; F64, F32, F16 and BF16 weights can be compressed"),
                "give the original checkpoint, not one that is already quantized");
  }
  // A vector whose rows are permuted (a bias of q or k) is one weight per row here, and one row in the file.
  std::vector<uint64_t> expected;
  if (vector) {
    expected = {shape.rows * shape.row_weights};
  } else if (shape.layout == Layout::kTransposed) {
    expected = {shape.row_weights, shape.rows};
  } else {
    expected = {shape.rows, shape.row_weights};
  }
  // The gate of a shared expert is a matrix of one row there.
  const bool one_row = vector && shape.rows == 1 && tensor->shape == std::vector<uint64_t>{1, shape.row_weights};
  if (tensor->shape != expected && !one_row) {
    return Fail("MODEL_TENSOR_SHAPE",
                absl::StrCat(tensor->file, ": tensor '", source, "' has shape [", absl::StrJoin(tensor->shape, ", "),
                             "], config.json asks for [", absl::StrJoin(expected, ", "), "]"),
                "config.json and weights are of different models");
  }
  MappedTensor mapped;
  mapped.name = std::move(name);
  mapped.source = tensor;
  mapped.role = role;
  mapped.layer = layer;
  mapped.expert = shape.expert;
  mapped.token_share = shape.token_share;
  mapped.layout = shape.layout;
  mapped.head_rows = shape.head_rows;
  mapped.source_rows = shape.rows;
  mapped.source_row_weights = shape.row_weights;
  mapped.rows = std::max(shape.rows, shape.padded_rows);
  mapped.row_weights = std::max(shape.row_weights, shape.padded_row_weights);
  mapped.vector = vector;
  mapped.plus = shape.plus;
  model_.tensors.push_back(std::move(mapped));
  model_.parameters += tensor->elements();
  used_.insert(source);
}

void Mapper::Constant(std::string name, Role role, std::vector<float> values) {
  MappedTensor mapped;
  mapped.name = std::move(name);
  mapped.role = role;
  mapped.rows = mapped.source_rows = 1;
  mapped.row_weights = mapped.source_row_weights = values.size();
  mapped.vector = true;
  mapped.constant = std::move(values);
  model_.tensors.push_back(std::move(mapped));
}

absl::StatusOr<Model> Mapper::Finish(uint64_t embedding_rows, absl::Span<const std::string_view> buffers) {
  for (const checkpoint::SourceTensor& tensor : checkpoint_.tensors()) {
    const bool buffer = std::any_of(buffers.begin(), buffers.end(), [&](std::string_view suffix) {
      return absl::EndsWith(tensor.name, ToAbsl(suffix));
    });
    if (used_.contains(tensor.name) || buffer) continue;
    if (!checkpoint::IsWeight(tensor.dtype)) {
      Warn(absl::StrCat("tensor '", tensor.name, "' (", ToAbsl(checkpoint::NameOf(tensor.dtype)),
                        ") is no weight of this architecture and is left out"));
      continue;
    }
    Fail("MODEL_TENSOR_UNKNOWN",
         absl::StrCat(tensor.file, ": tensor '", tensor.name, "' has no place in architecture '", model_.architecture,
                      "' and would be lost"),
         "check model_type in config.json; adapters and extra heads must be merged or removed first");
  }
  if (!ok()) return status_;
  model_.embedding_rows = embedding_rows;
  return std::move(model_);
}

}  // namespace nashswarm::model
