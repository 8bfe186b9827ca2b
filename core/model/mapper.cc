#include "core/model/mapper.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"

namespace nashswarm::model {
namespace {

constexpr char kConfigHint[] = "take config.json from the model's own repository";

// Where a row's own names say nothing.
constexpr PartName kCommonNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate.#", "mlp.experts.#.gate_proj"},
    {"ffn_up.#", "mlp.experts.#.up_proj"},
    {"ffn_down.#", "mlp.experts.#.down_proj"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"}};

}  // namespace

Mapper::Mapper(const checkpoint::Checkpoint& checkpoint, std::string architecture) : checkpoint_(checkpoint) {
  model_.architecture = std::move(architecture);
  for (const checkpoint::SourceTensor& tensor : checkpoint.tensors()) {
    std::string name = absl::StrReplaceAll(tensor.name, {{"_orig_mod.", ""}});
    while (absl::StartsWith(name, "module.")) name.erase(0, sizeof("module.") - 1);
    const auto [it, inserted] = by_name_.emplace(std::move(name), &tensor);
    if (inserted) continue;
    Fail("TENSOR_DUPLICATE", absl::StrCat("tensors '", it->second->name, "' and '", tensor.name, "' are the same parameter"),
         "leave one of them in the checkpoint");
  }
}

void Mapper::UseRoot(const std::string& root, const std::string& layers) {
  const auto any = [&](const std::string& with) {
    return std::any_of(by_name_.begin(), by_name_.end(), [&](const auto& entry) { return absl::StartsWith(entry.first, with); });
  };
  const bool bare = any(layers) && !any(root + layers), twice = any(root + root + layers);
  if (!bare && !twice) return;
  std::map<std::string, const checkpoint::SourceTensor*> renamed;
  for (const auto& [name, tensor] : by_name_) {
    const bool rooted = absl::StartsWith(name, root);
    if (twice) renamed[rooted ? name.substr(root.size()) : name] = tensor;
    else renamed[rooted || absl::StartsWith(name, "lm_head.") ? name : root + name] = tensor;
  }
  by_name_ = std::move(renamed);
}

const checkpoint::SourceTensor* Mapper::Find(const std::string& source) const {
  const auto it = by_name_.find(source);
  return it == by_name_.end() ? nullptr : it->second;
}

void Mapper::Fail(std::string_view reason, const std::string& message, std::string_view hint) {
  if (status_.ok()) status_ = MakeError(absl::StatusCode::kInvalidArgument, reason, message, hint);
}

std::pair<std::string, const Json*> Mapper::FindIn(const Json& object, std::string_view names) {
  for (const absl::string_view name : absl::StrSplit(ToAbsl(names), '|')) {
    if (!object.is_object()) break;
    const auto it = object.find(std::string(name));
    if (it != object.end() && !it->is_null()) return {std::string(name), &*it};
  }
  return {std::string(names), nullptr};
}

void Mapper::BadValue(const std::string& name, const Json& value, std::string_view wanted) {
  constexpr size_t kShown = 60;
  std::string shown = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown.size() > kShown) shown = "too long to show";
  Fail("CONFIG_INVALID", absl::StrCat("config.json: '", name, "' is ", shown, ", which is not ", ToAbsl(wanted)), kConfigHint);
}

uint64_t Mapper::CountIn(const Json& object, std::string_view names, uint64_t fallback) {
  const auto [name, value] = FindIn(object, names);
  if (value == nullptr) return fallback;
  const bool whole = value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  if (!whole || value->get<int64_t>() < 1 || value->get<int64_t>() >= (int64_t{1} << 31)) {
    BadValue(name, *value, "a whole number from 1 to 2^31");
    return 1;
  }
  return value->get<uint64_t>();
}

uint64_t Mapper::CountOr(std::string_view names, uint64_t fallback) { return CountIn(config(), names, fallback); }

uint64_t Mapper::Count(std::string_view names) {
  if (!Says(names)) Fail("CONFIG_INVALID", absl::StrCat("config.json: has no '", ToAbsl(names), "'"), kConfigHint);
  return CountOr(names, 1);
}

double Mapper::RealIn(const Json& object, std::string_view names, double fallback) {
  const auto [name, value] = FindIn(object, names);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (std::isfinite(number) && (number > 0 || (number == 0 && fallback == 0))) return number;
  BadValue(name, *value, "a positive number");
  return fallback;
}

bool Mapper::FlagIn(const Json& object, std::string_view names, bool fallback) {
  const auto [name, value] = FindIn(object, names);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  BadValue(name, *value, "true or false");
  return fallback;
}

std::string Mapper::TextIn(const Json& object, std::string_view names, std::string_view fallback) {
  const auto [name, value] = FindIn(object, names);
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) return value->get<std::string>();
  BadValue(name, *value, "a string");
  return std::string(fallback);
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
void Mapper::Bias(bool wanted, std::string name, const std::string& source, int layer, Shape shape) {
  const bool there = Has(source);
  if (wanted && there) return Vector(std::move(name), source, Role::kBias, layer, shape);
  if (wanted) zero_biases_.push_back(source);
  if (!there || wanted) return;
  unwanted_biases_.push_back(source);
  Ignore(source);
}

void Mapper::Add(std::string name, const std::string& source, Role role, int layer, Shape shape, bool vector) {
  if (!ok()) return;
  const checkpoint::SourceTensor* tensor = Find(source);
  if (tensor == nullptr) {
    return Fail("MODEL_TENSOR_MISSING", absl::StrCat("the checkpoint has no tensor '", source, "'"),
                "a sharded checkpoint needs all its shards; a LoRA adapter must be merged into its base model first");
  }
  if (!checkpoint::IsWeight(tensor->dtype)) {
    return Fail("MODEL_TENSOR_DTYPE",
                absl::StrCat(tensor->file, ": tensor '", tensor->name, "' is ", ToAbsl(checkpoint::NameOf(tensor->dtype)),
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
                absl::StrCat(tensor->file, ": tensor '", tensor->name, "' has shape [", absl::StrJoin(tensor->shape, ", "),
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
  mapped.scaled = shape.scaled;
  mapped.scale = shape.scale;
  model_.tensors.push_back(std::move(mapped));
  model_.parameters += tensor->elements();
  used_.insert(tensor);
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
    if (used_.contains(&tensor) || buffer) continue;
    if (tensor.data.empty()) {
      Warn(absl::StrCat("tensor '", tensor.name, "' has no elements and is left out"));
      continue;
    }
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
  if (!zero_biases_.empty()) {
    Warn(absl::StrCat("config.json asks for biases that the checkpoint does not have (", zero_biases_.size(), ", from ", zero_biases_[0],
                      " on): they are zero, as in transformers"));
  }
  if (!unwanted_biases_.empty()) {
    Warn(absl::StrCat("config.json does not ask for biases that the checkpoint has (", unwanted_biases_.size(), ", from ",
                      unwanted_biases_[0], " on): they are left out, as in transformers"));
  }
  model_.embedding_rows = embedding_rows;
  return std::move(model_);
}

void IgnoreTiedHead(const std::string& embedding, Mapper* map) {
  const checkpoint::SourceTensor *table = map->Find(embedding), *head = map->Find("lm_head.weight");
  if (table == nullptr || head == nullptr) return;
  const bool same = table->data.size() == head->data.size() && std::memcmp(table->data.data(), head->data.data(), head->data.size()) == 0;
  if (!same) map->Warn("lm_head.weight differs from the embedding though config.json ties them: the embedding is used, as transformers does");
  map->Ignore("lm_head.weight");
}

std::string NameInCheckpoint(const Architecture& row, std::string_view part) {
  for (const absl::Span<const PartName> names : {row.names, absl::MakeConstSpan(kCommonNames)}) {
    for (const PartName& name : names) {
      if (name.gguf == part) return std::string(name.checkpoint);
    }
  }
  return std::string(part);  // a row whose design has a part without a name; the checkpoint will not have it either
}

}  // namespace nashswarm::model
