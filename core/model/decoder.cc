// The mapping that decoder-only transformers have in common: LLaMA's names and keys, and from the row of the architecture's
// table what is different.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/model/architecture_table.h"
#include "core/model/experts.h"
#include "core/model/mapper.h"
#include "core/model/rope_config.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufValue;

constexpr char kHint[] = "take config.json from the model's own repository";

// Far beyond any model. Rotary factors are made for a head before its width is held against the tensors.
constexpr uint64_t kMaxHeadWidth = 1 << 16;

struct Dimensions {
  uint64_t layers, width, heads, kv_heads, head_width, ffn, ffn_stored, vocabulary;
  Experts experts;  // of a row that has them; ffn is then no tensor's extent
};

Dimensions ReadDimensions(const Architecture& row, Mapper* map) {
  Dimensions size{};
  size.layers = map->Count("num_hidden_layers");
  size.width = map->Count("hidden_size");
  size.heads = map->Count("num_attention_heads");
  size.kv_heads = map->CountOr("num_key_value_heads", size.heads);
  size.head_width = map->CountOr("head_dim", size.width / size.heads);
  size.ffn = map->Count("intermediate_size");
  size.ffn_stored = AlignUp(size.ffn, kNarrowBlock);
  size.vocabulary = map->Count("vocab_size");
  if (size.head_width == 0 || size.head_width % 2 != 0 || size.heads % size.kv_heads != 0) {
    map->Fail("CONFIG_INVALID", "config.json: head_dim must be even and num_attention_heads a multiple of num_key_value_heads", kHint);
  }
  if (size.head_width > kMaxHeadWidth) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: a head_dim of ", size.head_width, " is beyond all measure"), kHint);
  }
  if (row.experts.present) {
    size.experts = ReadExperts(row, size.layers, map);
  } else if (size.ffn_stored != size.ffn) {
    map->Warn(absl::StrCat("feed-forward width ", size.ffn, " padded with zeros to ", size.ffn_stored,
                           " (exact: outputs unchanged), so that its matrices can be quantized"));
  }
  return size;
}

// The names that config.json has for an activation; the first is the one to say when there is none.
std::vector<std::string_view> NamesOf(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return {"silu", "swish"};
    case Activation::kGelu:
      return {"gelu_pytorch_tanh"};
    case Activation::kReluSquared:
      return {"relu2"};
  }
  return {};
}

// Layers without rotation are a matter of the architecture in GGUF; config.json may list others.
void CheckUnrotatedLayers(const Architecture& row, uint64_t layers, Mapper* map) {
  const uint64_t period = row.design->attention.unrotated_period;
  if (period == 0) return;
  bool as_known = map->CountOr("no_rope_layer_interval", period) == period;
  if (map->Says("no_rope_layers")) {
    const Json& list = map->config()["no_rope_layers"];  // 1: rotated
    as_known = list.is_array() && list.size() == layers;
    for (uint64_t layer = 0; as_known && layer < layers; ++layer) {
      as_known = list[layer] == ((layer + 1) % period == 0 ? 0 : 1);
    }
  }
  if (as_known) return;
  map->Fail("CONFIG_INVALID", absl::StrCat("config.json: no_rope_layers: other layers than every ", period, "th are without rotary embeddings"),
            absl::StrCat("GGUF's ", ToAbsl(row.gguf), " has no key for it"));
}

// Choices of config.json that GGUF's loaders do not have.
void CheckChoices(const Architecture& row, uint64_t layers, Mapper* map) {
  const std::vector<std::string_view> names = NamesOf(row.design->mlp.activation);
  const std::string activation = map->Text(row.activation, names[0]);
  if (std::find(names.begin(), names.end(), activation) == names.end()) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: ", ToAbsl(row.activation), " '", activation, "' is not this architecture's"),
              absl::StrCat("GGUF's ", ToAbsl(row.gguf), " runs ", ToAbsl(names[0]), " only"));
  }
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (map->Real(cap, 0) != 0) {
      map->Fail("CONFIG_INVALID", absl::StrCat("config.json: ", cap, " is not this architecture's"), "");
    }
  }
  if (map->Flag("use_bidirectional_attention", false)) {
    map->Fail("CONFIG_INVALID", "config.json: use_bidirectional_attention: this model does not write text", "");
  }
  CheckUnrotatedLayers(row, layers, map);
}

void PutScoreScale(const Architecture& row, uint64_t head_width, Mapper* map) {
  if (row.score_width.empty()) return;
  const double width = map->Real(row.score_width, row.score_width_otherwise);
  if (width == static_cast<double>(head_width)) return;
  map->Put("attention.scale", GgufValue::F32(static_cast<float>(1 / std::sqrt(width))));
  map->Warn(absl::StrCat(ToAbsl(row.score_width), " differs from head_dim: llama.cpp knows this only of Gemma 3 27B"));
}

void PutHyperparameters(const Architecture& row, const Dimensions& size, Mapper* map) {
  const uint64_t context = map->Count("max_position_embeddings");
  map->Put("block_count", GgufValue::U32(size.layers));
  map->Put("context_length", GgufValue::U32(context));
  map->Put("embedding_length", GgufValue::U32(size.width));
  map->Put("feed_forward_length", GgufValue::U32(size.ffn_stored));
  map->Put("attention.head_count", GgufValue::U32(size.heads));
  map->Put("attention.head_count_kv", GgufValue::U32(size.kv_heads));
  map->Put("attention.key_length", GgufValue::U32(size.head_width));
  map->Put("attention.value_length", GgufValue::U32(size.head_width));
  map->Put("attention.layer_norm_rms_epsilon", GgufValue::F32(map->Real("rms_norm_eps", row.epsilon)));
  map->Put("vocab_size", GgufValue::U32(size.vocabulary));
  if (row.experts.present) PutExperts(row, size.experts, map);
  PutRope(size.head_width, context, row.rope_base, row.design->attention.window_rope_base, map);
  const uint64_t window = PutSlidingWindow(row.window, row.window_width, size.layers, map);
  if (window > 0 && !row.window_is_run) {
    map->Warn(absl::StrCat("llama.cpp runs this architecture without its sliding window: past ", window,
                           " tokens its attention sees more than the model was trained on"));
  }
  if (window == 0 && row.design->attention.needs_window) {
    map->Fail("CONFIG_INVALID", "config.json: has no 'sliding_window'", kHint);
  }
  PutScoreScale(row, size.head_width, map);
}

bool Has(const BiasRule& rule, Mapper* map) { return rule.key.empty() ? rule.otherwise : map->Flag(rule.key, rule.otherwise); }

// The parts of one layer under both names.
struct Layer {
  const Architecture& row;
  const Dimensions& size;
  uint64_t number;
  Mapper* map;

  std::string Stored(std::string_view part) const { return absl::StrCat("blk.", number, ".", ToAbsl(part)); }
  std::string Source(std::string_view part) const { return absl::StrCat("model.layers.", number, ".", NameInCheckpoint(row, part)); }

  void Matrix(std::string_view part, Role role, Mapper::Shape shape) const {
    map->Matrix(Stored(part) + ".weight", Source(part) + ".weight", role, static_cast<int>(number), shape);
  }
  void Bias(bool wanted, std::string_view part, Mapper::Shape shape) const {
    map->Bias(wanted, Stored(part) + ".bias", Source(part) + ".bias", static_cast<int>(number), shape);
  }
  void Norm(std::string_view part, uint64_t width) const {
    if (part.empty()) return;
    Mapper::Shape shape{1, width};
    shape.plus = row.norm_plus;
    map->Vector(Stored(part) + ".weight", Source(part) + ".weight", Role::kNorm, static_cast<int>(number), shape);
  }
};

void MapAttention(const Layer& layer) {
  const Architecture& row = layer.row;
  const Dimensions& size = layer.size;
  const bool biases = Has(row.attention_bias, layer.map);
  const auto project = [&](std::string_view part, Role role, uint64_t heads, Layout rows) {
    const uint64_t out = heads * size.head_width;
    layer.Matrix(part, role, {out, size.width, 0, 0, rows, size.head_width});
    layer.Bias(biases, part, {out, 1, 0, 0, rows, size.head_width});
  };
  const Layout rotated = row.design->attention.rotation == Rotation::kPairs ? Layout::kHeadPairs : Layout::kRows;
  project("attn_q", Role::kQuery, size.heads, rotated);
  project("attn_k", Role::kKey, size.kv_heads, rotated);
  project("attn_v", Role::kValue, size.kv_heads, Layout::kRows);
  layer.Matrix("attn_output", Role::kAttentionOutput, {size.width, size.heads * size.head_width});
  layer.Bias(biases && row.bias_of_output, "attn_output", {1, size.width});
  const HeadNorms norms = row.design->attention.norms;
  if (norms == HeadNorms::kNone) return;
  layer.Norm("attn_q_norm", norms == HeadNorms::kAll ? size.heads * size.head_width : size.head_width);
  layer.Norm("attn_k_norm", norms == HeadNorms::kAll ? size.kv_heads * size.head_width : size.head_width);
}

void MapMlp(const Layer& layer) {
  const Dimensions& size = layer.size;
  const bool biases = Has(layer.row.mlp_bias, layer.map);
  const auto inner = [&](std::string_view part, Role role) {
    layer.Matrix(part, role, {size.ffn, size.width, size.ffn_stored});
    layer.Bias(biases, part, {1, size.ffn, 1, size.ffn_stored});
  };
  if (layer.row.design->mlp.gated) inner("ffn_gate", Role::kFfnGate);
  inner("ffn_up", Role::kFfnUp);
  layer.Matrix("ffn_down", Role::kFfnDown, {size.width, size.ffn, 0, size.ffn_stored});
  layer.Bias(biases, "ffn_down", {1, size.width});
}

void MapLayer(const Layer& layer) {
  for (const BranchDesign& branch : layer.row.design->layer) {
    layer.Norm(branch.norm, layer.size.width);
    switch (branch.block) {
      case BlockKind::kAttention:
        MapAttention(layer);
        break;
      case BlockKind::kFeedForward:
        layer.row.experts.present ? MapExperts(layer.row, layer.size.experts, layer.size.width, layer.number, layer.map) : MapMlp(layer);
        break;
    }
    layer.Norm(branch.post_norm, layer.size.width);
  }
}

// A tied weight may be stored under either name, or under both; then config.json decides, as transformers does. A head that is
// not there is the embedding whatever config.json says: there is nothing else it could be.
void MapEmbedding(const Architecture& row, const Dimensions& size, Mapper* map) {
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  const bool tied = map->Flag("tie_word_embeddings", row.tied_head);
  const bool has_embedding = map->Has(embedding), has_head = map->Has(head);
  map->Matrix("token_embd.weight", has_embedding || !has_head ? embedding : head, Role::kTokenEmbedding, -1, {size.vocabulary, size.width});
  if (!tied && has_embedding && !has_head) {
    map->Warn("config.json says the head is not tied, but there is no lm_head.weight: the embedding is used");
  }
  if (!tied && !has_embedding && has_head) {
    map->Warn("config.json says the head is not tied, but there is no embed_tokens.weight: lm_head.weight is used for both");
  }
  if (tied) IgnoreTiedHead(embedding, map);
}

void MapNormAndHead(const Architecture& row, const Dimensions& size, Mapper* map) {
  Mapper::Shape shape{1, size.width};
  shape.plus = row.norm_plus;
  map->Vector("output_norm.weight", "model.norm.weight", Role::kNorm, -1, shape);
  const bool has_both = map->Has("model.embed_tokens.weight") && map->Has("lm_head.weight");
  if (!has_both || map->Flag("tie_word_embeddings", row.tied_head)) return;
  map->Matrix("output.weight", "lm_head.weight", Role::kOutput, -1, {size.vocabulary, size.width});
}

}  // namespace

absl::StatusOr<Model> MapDecoder(const checkpoint::Checkpoint& checkpoint, const Architecture& row) {
  Mapper map(checkpoint, std::string(row.gguf));
  map.UseRoot("model.", "layers.");
  const Dimensions size = ReadDimensions(row, &map);
  CheckChoices(row, size.layers, &map);
  if (map.ok()) PutHyperparameters(row, size, &map);

  MapEmbedding(row, size, &map);
  for (uint64_t l = 0; l < size.layers && map.ok(); ++l) MapLayer({row, size, l, &map});
  MapNormAndHead(row, size, &map);
  static constexpr std::string_view kBuffers[] = {".rotary_emb.inv_freq"};
  return map.Finish(size.vocabulary, kBuffers);
}

}  // namespace nashswarm::model
