#include "core/pipeline/llama_preset.h"

#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/pipeline/gguf_head.h"

namespace nashswarm::pipeline {
namespace {

using model::MappedTensor;
using model::Role;
using quant::Format;

enum class Preset { kQ2_K, kQ3_K_S, kQ3_K_M, kQ3_K_L, kQ4_K_S, kQ4_K_M, kQ5_K_S, kQ5_K_M, kQ6_K, kQ8_0 };
struct PresetInfo {
  Preset preset;
  const char* name;
  Format type;  // of what no rule names
};
constexpr PresetInfo kPresets[] = {
    {Preset::kQ2_K, "Q2_K", Format::kQ2_K},     {Preset::kQ3_K_S, "Q3_K_S", Format::kQ3_K}, {Preset::kQ3_K_M, "Q3_K_M", Format::kQ3_K},
    {Preset::kQ3_K_L, "Q3_K_L", Format::kQ3_K}, {Preset::kQ4_K_S, "Q4_K_S", Format::kQ4_K}, {Preset::kQ4_K_M, "Q4_K_M", Format::kQ4_K},
    {Preset::kQ5_K_S, "Q5_K_S", Format::kQ5_K}, {Preset::kQ5_K_M, "Q5_K_M", Format::kQ5_K}, {Preset::kQ6_K, "Q6_K", Format::kQ6_K},
    {Preset::kQ8_0, "Q8_0", Format::kQ8_0}};

constexpr uint64_t kWideBlock = 256, kNarrowBlock = 32;

// What the rules look at beside the tensor itself.
struct Shape {
  int layers = 0, experts = 0;
  double queries_a_key = 1;  // rows of q over rows of k
  bool has_output = false;   // a head of its own
  bool shares_values = false;  // LLaMA 70B: one v for eight heads
};

Shape ShapeOf(const model::Model& model) {
  Shape shape;
  double queries = 0, keys = 0;
  for (const MappedTensor& tensor : model.tensors) {
    shape.layers = std::max(shape.layers, tensor.layer + 1);
    shape.experts = std::max(shape.experts, tensor.expert + 1);
    shape.has_output |= tensor.role == Role::kOutput;
    if (tensor.vector || tensor.layer != 0) continue;
    if (tensor.role == Role::kQuery) queries = static_cast<double>(tensor.rows);
    if (tensor.role == Role::kKey) keys = static_cast<double>(tensor.rows);
  }
  if (keys > 0) shape.queries_a_key = queries / keys;
  shape.shares_values = model.architecture == "llama" && shape.layers == 80 && shape.queries_a_key > 1;
  return shape;
}

// The first and the last eighth of the layers, and every third between.
bool UsesMoreBits(int layer, int layers) { return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2; }

Format ValueType(Preset preset, Format type, const Shape& shape, int layer) {
  if (shape.experts == 8) return Format::kQ8_0;
  if (preset == Preset::kQ2_K) type = shape.queries_a_key >= 4 ? Format::kQ4_K : Format::kQ3_K;
  if (preset == Preset::kQ3_K_M) type = layer < 2 ? Format::kQ5_K : Format::kQ4_K;
  if (preset == Preset::kQ3_K_L) type = Format::kQ5_K;
  if ((preset == Preset::kQ4_K_M || preset == Preset::kQ5_K_M) && UsesMoreBits(layer, shape.layers)) type = Format::kQ6_K;
  if (preset == Preset::kQ4_K_S && layer < 4) type = Format::kQ5_K;
  if (shape.shares_values && (type == Format::kQ3_K || type == Format::kQ4_K)) type = Format::kQ5_K;
  return type;
}

Format DownType(Preset preset, Format type, const Shape& shape, int layer) {
  const bool more = UsesMoreBits(layer, shape.layers);
  switch (preset) {
    case Preset::kQ2_K: return Format::kQ3_K;
    case Preset::kQ3_K_M: return layer < shape.layers / 16 ? Format::kQ5_K : Format::kQ4_K;
    case Preset::kQ3_K_L: return Format::kQ5_K;
    case Preset::kQ4_K_S: return layer < shape.layers / 8 ? Format::kQ5_K : type;
    case Preset::kQ4_K_M:
    case Preset::kQ5_K_M: return more ? Format::kQ6_K : type;
    default: return type;
  }
}

Format AttentionOutputType(Preset preset, Format type, const Shape& shape) {
  if (shape.experts == 8) return preset <= Preset::kQ4_K_M && preset != Preset::kQ3_K_L ? Format::kQ5_K : type;
  if (preset == Preset::kQ2_K) return Format::kQ3_K;
  if (preset == Preset::kQ3_K_M) return Format::kQ4_K;
  if (preset == Preset::kQ3_K_L) return Format::kQ5_K;
  return type;
}

Format WantedType(const PresetInfo& info, const MappedTensor& tensor, const Shape& shape) {
  if (info.preset == Preset::kQ8_0) return Format::kQ8_0;
  switch (tensor.role) {
    case Role::kOutput: return Format::kQ6_K;
    case Role::kTokenEmbedding: return shape.has_output ? info.type : Format::kQ6_K;
    case Role::kKey: return shape.experts == 8 ? Format::kQ8_0 : info.type;
    case Role::kValue:
    case Role::kQueryKeyValue: return ValueType(info.preset, info.type, shape, tensor.layer);
    case Role::kAttentionOutput: return AttentionOutputType(info.preset, info.type, shape);
    case Role::kFfnDown: return DownType(info.preset, info.type, shape, tensor.layer);
    default: return info.type;
  }
}

// Rows that do not divide by 256 cannot take a K-quant.
Format Fallback(Format wanted, const MappedTensor& tensor, bool is_output) {
  if (tensor.row_weights % kWideBlock == 0 || wanted == Format::kQ8_0) {
    return tensor.row_weights % kNarrowBlock == 0 ? wanted : Format::kF16;
  }
  if (tensor.row_weights % kNarrowBlock != 0) return Format::kF16;
  if (is_output) return Format::kQ8_0;
  switch (wanted) {
    case Format::kQ2_K:
    case Format::kQ3_K: return Format::kIQ4_NL;
    case Format::kQ4_K: return Format::kQ5_0;
    case Format::kQ5_K: return Format::kQ5_1;
    default: return Format::kQ8_0;
  }
}

Format TypeOf(const PresetInfo& info, const MappedTensor& tensor, const Shape& shape) {
  if (!tensor.is_player() || tensor.role == Role::kPositionEmbedding) return Format::kF32;
  const bool is_output = tensor.role == Role::kOutput || (tensor.role == Role::kTokenEmbedding && !shape.has_output);
  return Fallback(WantedType(info, tensor, shape), tensor, is_output);
}

// Of a file with the tensors of `model`; without what a vocabulary takes when that cannot be said in GGUF.
uint64_t HeaderBytes(const OpenModel& open) {
  const absl::StatusOr<GgufHead> head = MakeGgufHead(open, {.allow_tokenizer_mismatch = true});
  std::vector<checkpoint::GgufTensor> tensors;
  for (const MappedTensor& tensor : open.model.tensors) {
    const std::string stack = model::StackOf(tensor);
    if (!tensors.empty() && tensors.back().name == stack) continue;
    tensors.push_back({stack, {}, Format::kF32, 0, 0});
    tensors.back().dims.assign(tensor.vector ? 1 : stack != tensor.name ? 3 : 2, 1);
  }
  return checkpoint::SerializeGgufHeader(head.ok() ? head->metadata : open.model.hyperparameters, &tensors).size();
}

}  // namespace

std::vector<LlamaPreset> LlamaPresets(const OpenModel& open) { return LlamaPresets(open.model, HeaderBytes(open)); }

std::vector<LlamaPreset> LlamaPresets(const model::Model& model, uint64_t header_bytes) {
  const Shape shape = ShapeOf(model);
  std::vector<LlamaPreset> presets;
  for (const PresetInfo& info : kPresets) {
    LlamaPreset preset{info.name, {}, header_bytes};
    std::string stack;  // one tensor of the file, which is aligned
    for (const MappedTensor& tensor : model.tensors) {
      preset.formats.push_back(TypeOf(info, tensor, shape));
      if (model::StackOf(tensor) != stack) preset.bytes = AlignUp(preset.bytes, checkpoint::kGgufAlignment);
      stack = model::StackOf(tensor);
      preset.bytes += quant::EncodedBytes(preset.formats.back(), tensor.rows, tensor.row_weights).value_or(0);
    }
    preset.bytes = AlignUp(preset.bytes, checkpoint::kGgufAlignment);
    presets.push_back(std::move(preset));
  }
  return presets;
}

LlamaPreset NearestPreset(std::vector<LlamaPreset> presets, uint64_t bytes) {
  const auto distance = [bytes](const LlamaPreset& preset) {
    return std::abs(static_cast<double>(preset.bytes) - static_cast<double>(bytes));
  };
  return *std::min_element(presets.begin(), presets.end(),
                           [&](const LlamaPreset& a, const LlamaPreset& b) { return distance(a) < distance(b); });
}

}  // namespace nashswarm::pipeline
