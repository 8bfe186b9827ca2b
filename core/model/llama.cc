// The LLaMA family: llama, mistral (same tensors, sliding window), qwen2 (biases on q, k and v), qwen3 (norms of the heads
// of q and k) and gemma3_text (norms before and after, layers with and without a window); with experts (experts.h) mixtral,
// qwen2_moe, qwen3_moe and olmoe (norms of all of q and k).
#include <cmath>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/model/experts.h"
#include "core/model/mapper.h"
#include "core/model/rope_config.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufValue;

// In what the members of the family differ.
struct Family {
  std::string_view model_type;    // in config.json
  std::string_view architecture;  // in GGUF
  bool rotate_pairs = false;      // llama.cpp rotates neighbours for llama, halves for the others
  bool head_norms = false;        // of q and k
  bool gemma = false;
  WindowRule window;
  ExpertStyle experts = ExpertStyle::kNone;
  // Where config.json does not say, as in transformers.
  double epsilon = 1e-6, rope_base = 1e4;
  uint64_t window_width = 4096;
  // Which projections of attention have biases: a key of config.json, and what it is when absent; "" for none whatever it says.
  const char* bias_key = "attention_bias";
  bool bias_default = false, bias_of_output = true;
  const char* ffn_bias_key = "";
  // Norms of q and k are of all heads together, not of each.
  bool whole_norms() const { return experts == ExpertStyle::kOlmoe; }
};

// Far beyond any model. Rotary factors are made for a head before its width is held against the tensors.
constexpr uint64_t kMaxHeadWidth = 1 << 16;

constexpr Family kFamilies[] = {
    {.model_type = "llama", .architecture = "llama", .rotate_pairs = true, .window = WindowRule::kNone, .ffn_bias_key = "mlp_bias"},
    {.model_type = "mistral", .architecture = "llama", .rotate_pairs = true, .window = WindowRule::kEvery, .bias_key = ""},
    {.model_type = "qwen2", .architecture = "qwen2", .window = WindowRule::kFromLayer, .bias_key = "", .bias_default = true,
     .bias_of_output = false},
    {.model_type = "qwen3", .architecture = "qwen3", .head_norms = true, .window = WindowRule::kFromLayer},
    {.model_type = "gemma3_text", .architecture = "gemma3", .head_norms = true, .gemma = true, .window = WindowRule::kPeriodic,
     .rope_base = 1e6},
    {.model_type = "mixtral", .architecture = "llama", .rotate_pairs = true, .window = WindowRule::kEvery,
     .experts = ExpertStyle::kMixtral, .epsilon = 1e-5, .rope_base = 1e6, .window_width = 0, .bias_key = ""},
    {.model_type = "qwen2_moe", .architecture = "qwen2moe", .window = WindowRule::kEveryOther, .experts = ExpertStyle::kQwen2,
     .bias_key = "qkv_bias", .bias_default = true, .bias_of_output = false},
    {.model_type = "qwen3_moe", .architecture = "qwen3moe", .head_norms = true, .window = WindowRule::kEveryOnRequest,
     .experts = ExpertStyle::kQwen3},
    {.model_type = "olmoe", .architecture = "olmoe", .head_norms = true, .window = WindowRule::kNone,
     .experts = ExpertStyle::kOlmoe, .epsilon = 1e-5},
};

struct Dimensions {
  uint64_t layers, width, heads, kv_heads, head_width, ffn, ffn_stored, vocabulary;
  Experts experts;  // of a family that has them; ffn is then no tensor's extent
};

Dimensions ReadDimensions(const Family& family, Mapper* map) {
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
    map->Fail("CONFIG_INVALID", "config.json: head_dim must be even and num_attention_heads a multiple of num_key_value_heads",
              "take config.json from the model's own repository");
  }
  if (size.head_width > kMaxHeadWidth) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: a head_dim of ", size.head_width, " is beyond all measure"),
              "take config.json from the model's own repository");
  }
  if (family.experts != ExpertStyle::kNone) {
    size.experts = ReadExperts(family.experts, size.layers, map);
  } else if (size.ffn_stored != size.ffn) {
    map->Warn(absl::StrCat("feed-forward width ", size.ffn, " padded with zeros to ", size.ffn_stored,
                           " (exact: outputs unchanged), so that its matrices can be quantized"));
  }
  return size;
}

// Choices of config.json that GGUF's loaders do not have.
void CheckChoices(const Family& family, Mapper* map) {
  const char* wanted = family.gemma ? "gelu_pytorch_tanh" : "silu";
  const char* key = family.gemma ? "hidden_activation" : "hidden_act";
  const std::string activation = map->Text(key, wanted);
  if (activation != wanted && !(activation == "swish" && !family.gemma)) {  // another name of silu
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: ", key, " '", activation, "' is not this architecture's"),
              absl::StrCat("GGUF's ", ToAbsl(family.architecture), " runs ", wanted, " only"));
  }
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (map->Real(cap, 0) != 0) {
      map->Fail("CONFIG_INVALID", absl::StrCat("config.json: ", cap, " is not this architecture's"), "");
    }
  }
  if (map->Flag("use_bidirectional_attention", false)) {
    map->Fail("CONFIG_INVALID", "config.json: use_bidirectional_attention: this model does not write text", "");
  }
}

void PutHyperparameters(const Family& family, const Dimensions& size, Mapper* map) {
  const uint64_t context = map->Count("max_position_embeddings");
  map->Put("block_count", GgufValue::U32(size.layers));
  map->Put("context_length", GgufValue::U32(context));
  map->Put("embedding_length", GgufValue::U32(size.width));
  map->Put("feed_forward_length", GgufValue::U32(size.ffn_stored));
  map->Put("attention.head_count", GgufValue::U32(size.heads));
  map->Put("attention.head_count_kv", GgufValue::U32(size.kv_heads));
  map->Put("attention.key_length", GgufValue::U32(size.head_width));
  map->Put("attention.value_length", GgufValue::U32(size.head_width));
  map->Put("attention.layer_norm_rms_epsilon", GgufValue::F32(map->Real("rms_norm_eps", family.epsilon)));
  map->Put("vocab_size", GgufValue::U32(size.vocabulary));
  if (family.experts != ExpertStyle::kNone) PutExperts(family.experts, size.experts, map);
  PutRope(size.head_width, context, family.rope_base, family.gemma, map);
  const uint64_t window = PutSlidingWindow(family.window, family.window_width, size.layers, map);
  if (window > 0 && !family.gemma) {
    map->Warn(absl::StrCat("llama.cpp runs this architecture without its sliding window: past ", window,
                           " tokens its attention sees more than the model was trained on"));
  }
  if (!family.gemma) return;
  if (window == 0) map->Fail("CONFIG_INVALID", "config.json: has no 'sliding_window'", "take config.json from the model's own repository");
  // transformers' default is 256, the head width of all but the largest.
  if (const double scalar = map->Real("query_pre_attn_scalar", 256); scalar != static_cast<double>(size.head_width)) {
    map->Put("attention.scale", GgufValue::F32(static_cast<float>(1 / std::sqrt(scalar))));
    map->Warn("query_pre_attn_scalar differs from head_dim: llama.cpp knows this only of Gemma 3 27B");
  }
}

bool HasBiases(const char* key, bool fallback, Mapper* map) { return *key == 0 ? fallback : map->Flag(key, fallback); }

void MapAttention(const Family& family, const Dimensions& size, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const std::string name = absl::StrCat("blk.", l, "."), source = absl::StrCat("model.layers.", l, ".self_attn.");
  const Layout layout = family.rotate_pairs ? Layout::kHeadPairs : Layout::kRows;
  const bool biases = HasBiases(family.bias_key, family.bias_default, map);
  const auto project = [&](const char* letter, Role role, uint64_t heads, Layout rows) {
    const uint64_t out = heads * size.head_width;
    const std::string stored = absl::StrCat(name, "attn_", letter), from = absl::StrCat(source, letter, "_proj");
    map->Matrix(stored + ".weight", from + ".weight", role, layer, {out, size.width, 0, 0, rows, size.head_width});
    map->Bias(biases, stored + ".bias", from + ".bias", layer, {out, 1, 0, 0, rows, size.head_width});
  };
  project("q", Role::kQuery, size.heads, layout);
  project("k", Role::kKey, size.kv_heads, layout);
  project("v", Role::kValue, size.kv_heads, Layout::kRows);
  map->Matrix(name + "attn_output.weight", source + "o_proj.weight", Role::kAttentionOutput, layer,
              {size.width, size.heads * size.head_width});
  map->Bias(biases && family.bias_of_output, name + "attn_output.bias", source + "o_proj.bias", layer, {1, size.width});
}

void MapFeedForward(const Family& family, const Dimensions& size, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const bool biases = HasBiases(family.ffn_bias_key, false, map);
  const std::string name = absl::StrCat("blk.", l, ".ffn_"), source = absl::StrCat("model.layers.", l, ".mlp.");
  for (const auto& [part, role] : {std::pair{"gate", Role::kFfnGate}, {"up", Role::kFfnUp}}) {
    map->Matrix(absl::StrCat(name, part, ".weight"), absl::StrCat(source, part, "_proj.weight"), role, layer,
                {size.ffn, size.width, size.ffn_stored});
    map->Bias(biases, absl::StrCat(name, part, ".bias"), absl::StrCat(source, part, "_proj.bias"), layer,
              {1, size.ffn, 1, size.ffn_stored});
  }
  map->Matrix(name + "down.weight", source + "down_proj.weight", Role::kFfnDown, layer,
              {size.width, size.ffn, 0, size.ffn_stored});
  map->Bias(biases, name + "down.bias", source + "down_proj.bias", layer, {1, size.width});
}

// The norms of a layer, in the checkpoint's names. Gemma multiplies by 1 + weight; GGUF stores the sum.
void MapNorm(const Family& family, const std::string& name, const std::string& source, int layer, uint64_t width, Mapper* map) {
  Mapper::Shape shape{1, width};
  shape.plus = family.gemma ? 1.0f : 0.0f;
  map->Vector(name + ".weight", source + ".weight", Role::kNorm, layer, shape);
}

void MapLayer(const Family& family, const Dimensions& size, uint64_t l, Mapper* map) {
  const std::string name = absl::StrCat("blk.", l, "."), source = absl::StrCat("model.layers.", l, ".");
  const auto norm = [&](const char* to, const char* from, uint64_t width) {
    MapNorm(family, name + to, source + from, static_cast<int>(l), width, map);
  };
  norm("attn_norm", "input_layernorm", size.width);
  MapAttention(family, size, l, map);
  if (family.head_norms) {
    norm("attn_q_norm", "self_attn.q_norm", family.whole_norms() ? size.heads * size.head_width : size.head_width);
    norm("attn_k_norm", "self_attn.k_norm", family.whole_norms() ? size.kv_heads * size.head_width : size.head_width);
  }
  // Gemma's name for the norm before the feed-forward part is the others' for the norm after attention.
  if (family.gemma) norm("post_attention_norm", "post_attention_layernorm", size.width);
  norm("ffn_norm", family.gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm", size.width);
  if (family.experts != ExpertStyle::kNone) {
    MapExperts(family.experts, size.experts, size.width, l, map);
  } else {
    MapFeedForward(family, size, l, map);
  }
  if (family.gemma) norm("post_ffw_norm", "post_feedforward_layernorm", size.width);
}

// A tied weight may be stored under either name, or under both; then config.json decides, as transformers does. A head that is
// not there is the embedding whatever config.json says: there is nothing else it could be.
void MapEmbeddingAndHead(const Family& family, const Dimensions& size, Mapper* map) {
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  const bool tied = map->Flag("tie_word_embeddings", family.gemma);
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

}  // namespace

bool IsLlamaFamily(std::string_view model_type) {
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return true;
  }
  return false;
}

absl::StatusOr<Model> MapLlama(const checkpoint::Checkpoint& checkpoint, std::string_view model_type) {
  const Family* found = kFamilies;
  while (found->model_type != model_type) ++found;
  const Family& family = *found;
  Mapper map(checkpoint, std::string(family.architecture));
  map.UseRoot("model.", "layers.");
  const Dimensions size = ReadDimensions(family, &map);
  CheckChoices(family, &map);
  if (map.ok()) PutHyperparameters(family, size, &map);

  MapEmbeddingAndHead(family, size, &map);
  for (uint64_t l = 0; l < size.layers && map.ok(); ++l) MapLayer(family, size, l, &map);
  MapNorm(family, "output_norm", "model.norm", -1, size.width, &map);
  const bool has_both = map.Has("model.embed_tokens.weight") && map.Has("lm_head.weight");
  if (has_both && !map.Flag("tie_word_embeddings", family.gemma)) {
    map.Matrix("output.weight", "lm_head.weight", Role::kOutput, -1, {size.vocabulary, size.width});
  }
  static constexpr std::string_view kBuffers[] = {".rotary_emb.inv_freq"};
  return map.Finish(size.vocabulary, kBuffers);
}

}  // namespace nashswarm::model
