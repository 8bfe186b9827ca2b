// The LLaMA family: llama, mistral (same tensors, sliding window) and qwen2 (biases on q, k and v).
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/model/mapper.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufValue;

struct Dimensions {
  uint64_t layers, width, heads, kv_heads, head_width, ffn, ffn_stored, vocabulary;
};

// Llama 3.1's rotary scaling is stored as one divisor per frequency. Source: "The Llama 3 Herd of Models" and the
// published reference code: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
std::vector<float> Llama3Factors(const Json& scaling, double base, uint64_t head_width) {
  const double factor = JsonDouble(scaling, "factor", 8), low = JsonDouble(scaling, "low_freq_factor", 1),
               high = JsonDouble(scaling, "high_freq_factor", 4),
               old_context = JsonDouble(scaling, "original_max_position_embeddings", 8192);
  std::vector<float> factors;
  for (uint64_t i = 0; i < head_width; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(head_width));
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < old_context / high) {
      factors.push_back(1);
    } else if (wavelength > old_context / low) {
      factors.push_back(static_cast<float>(factor));
    } else {
      const double smooth = (old_context / wavelength - low) / (high - low);
      factors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
    }
  }
  return factors;
}

void PutRopeScaling(const Dimensions& size, double base, Mapper* map) {
  const auto it = map->config().find("rope_scaling");
  if (it == map->config().end() || !it->is_object()) return;
  const std::string kind = JsonString(*it, "rope_type", JsonString(*it, "type"));
  if (kind.empty() || kind == "default") return;
  if (kind == "llama3") {
    map->Constant("rope_freqs.weight", Role::kRopeFactors, Llama3Factors(*it, base, size.head_width));
    return;
  }
  if (kind != "linear" && kind != "yarn") {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: rope_scaling of type '", kind, "' is not supported"),
              "linear, yarn and llama3 are");
    return;
  }
  map->Put("rope.scaling.type", GgufValue::String(kind));
  map->Put("rope.scaling.factor", GgufValue::F32(static_cast<float>(JsonDouble(*it, "factor", 1))));
  if (const int64_t original = JsonInt(*it, "original_max_position_embeddings", 0); original > 0) {
    map->Put("rope.scaling.original_context_length", GgufValue::U32(static_cast<uint32_t>(original)));
  }
}

void PutHyperparameters(const Dimensions& size, Mapper* map) {
  const double base = map->Real("rope_theta", 10000);
  map->Put("block_count", GgufValue::U32(size.layers));
  map->Put("context_length", GgufValue::U32(map->Count("max_position_embeddings")));
  map->Put("embedding_length", GgufValue::U32(size.width));
  map->Put("feed_forward_length", GgufValue::U32(size.ffn_stored));
  map->Put("attention.head_count", GgufValue::U32(size.heads));
  map->Put("attention.head_count_kv", GgufValue::U32(size.kv_heads));
  map->Put("attention.key_length", GgufValue::U32(size.head_width));
  map->Put("attention.value_length", GgufValue::U32(size.head_width));
  map->Put("attention.layer_norm_rms_epsilon", GgufValue::F32(map->Real("rms_norm_eps", 1e-6)));
  map->Put("rope.dimension_count", GgufValue::U32(size.head_width));
  map->Put("rope.freq_base", GgufValue::F32(static_cast<float>(base)));
  map->Put("vocab_size", GgufValue::U32(size.vocabulary));
  PutRopeScaling(size, base, map);
}

void MapAttention(const Dimensions& size, bool rotate_pairs, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const std::string name = absl::StrCat("blk.", l, "."), source = absl::StrCat("model.layers.", l, ".self_attn.");
  const Layout layout = rotate_pairs ? Layout::kHeadPairs : Layout::kRows;
  const auto project = [&](const char* letter, Role role, uint64_t heads, Layout rows) {
    const uint64_t out = heads * size.head_width;
    const std::string stored = absl::StrCat(name, "attn_", letter), from = absl::StrCat(source, letter, "_proj");
    map->Matrix(stored + ".weight", from + ".weight", role, layer, {out, size.width, 0, 0, rows, size.head_width});
    map->OptionalVector(stored + ".bias", from + ".bias", Role::kBias, layer, {out, 1, 0, 0, rows, size.head_width});
  };
  project("q", Role::kQuery, size.heads, layout);
  project("k", Role::kKey, size.kv_heads, layout);
  project("v", Role::kValue, size.kv_heads, Layout::kRows);
  map->Matrix(name + "attn_output.weight", source + "o_proj.weight", Role::kAttentionOutput, layer,
              {size.width, size.heads * size.head_width});
  map->OptionalVector(name + "attn_output.bias", source + "o_proj.bias", Role::kBias, layer, {1, size.width});
}

void MapFeedForward(const Dimensions& size, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const std::string name = absl::StrCat("blk.", l, ".ffn_"), source = absl::StrCat("model.layers.", l, ".mlp.");
  for (const auto& [part, role] : {std::pair{"gate", Role::kFfnGate}, {"up", Role::kFfnUp}}) {
    map->Matrix(absl::StrCat(name, part, ".weight"), absl::StrCat(source, part, "_proj.weight"), role, layer,
                {size.ffn, size.width, size.ffn_stored});
    map->OptionalVector(absl::StrCat(name, part, ".bias"), absl::StrCat(source, part, "_proj.bias"), Role::kBias, layer,
                        {1, size.ffn, 1, size.ffn_stored});
  }
  map->Matrix(name + "down.weight", source + "down_proj.weight", Role::kFfnDown, layer,
              {size.width, size.ffn, 0, size.ffn_stored});
  map->OptionalVector(name + "down.bias", source + "down_proj.bias", Role::kBias, layer, {1, size.width});
}

bool SameBytes(const checkpoint::Checkpoint& checkpoint, const std::string& a, const std::string& b) {
  const auto *x = checkpoint.Find(a), *y = checkpoint.Find(b);
  return x != nullptr && y != nullptr && x->data.size() == y->data.size() &&
         std::memcmp(x->data.data(), y->data.data(), x->data.size()) == 0;
}

}  // namespace

absl::StatusOr<Model> MapLlama(const checkpoint::Checkpoint& checkpoint, std::string_view model_type) {
  const bool qwen = model_type == "qwen2";
  Mapper map(checkpoint, qwen ? "qwen2" : "llama");
  Dimensions size{};
  size.layers = map.Count("num_hidden_layers");
  size.width = map.Count("hidden_size");
  size.heads = map.Count("num_attention_heads");
  size.kv_heads = map.CountOr("num_key_value_heads", size.heads);
  size.head_width = map.CountOr("head_dim", size.width / size.heads);
  size.ffn = map.Count("intermediate_size");
  size.ffn_stored = AlignUp(size.ffn, kNarrowBlock);
  size.vocabulary = map.Count("vocab_size");
  if (size.head_width % 2 != 0 || size.heads % size.kv_heads != 0) {
    map.Fail("CONFIG_INVALID", "config.json: head_dim must be even and num_attention_heads a multiple of num_key_value_heads",
             "take config.json from the model's own repository");
  }
  if (const std::string activation = JsonString(checkpoint.config(), "hidden_act", "silu"); activation != "silu") {
    map.Fail("CONFIG_INVALID", absl::StrCat("config.json: hidden_act '", activation, "' is not this architecture's"),
             "GGUF's llama and qwen2 run silu only");
  }
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  const bool tied = JsonBool(checkpoint.config(), "tie_word_embeddings", false) || !map.Has(head) || !map.Has(embedding);
  PutHyperparameters(size, &map);
  if (size.ffn_stored != size.ffn) {
    map.Warn(absl::StrCat("feed-forward width ", size.ffn, " padded with zeros to ", size.ffn_stored,
                          " (exact: outputs unchanged), so that its matrices can be quantized"));
  }

  if (const int64_t window = JsonInt(checkpoint.config(), "sliding_window", 0);
      window > 0 && JsonBool(checkpoint.config(), "use_sliding_window", !qwen)) {
    map.Warn(absl::StrCat("llama.cpp runs this architecture without its sliding window: past ", window,
                          " tokens its attention sees more than the model was trained on"));
  }

  // A tied weight may be stored under either name, or under both; then config.json decides, as transformers does.
  map.Matrix("token_embd.weight", map.Has(embedding) ? embedding : head, Role::kTokenEmbedding, -1,
             {size.vocabulary, size.width});
  if (tied && map.Has(embedding) && map.Has(head)) {
    if (!SameBytes(checkpoint, embedding, head)) {
      map.Warn("lm_head.weight differs from the embedding though config.json ties them: the embedding is used, as transformers does");
    }
    map.Ignore(head);
  }
  for (uint64_t l = 0; l < size.layers && map.ok(); ++l) {
    const std::string name = absl::StrCat("blk.", l, "."), source = absl::StrCat("model.layers.", l, ".");
    const int layer = static_cast<int>(l);
    map.Vector(name + "attn_norm.weight", source + "input_layernorm.weight", Role::kNorm, layer, {1, size.width});
    // llama.cpp rotates neighbours for llama, halves for qwen2: only llama's rows must be paired.
    MapAttention(size, !qwen, l, &map);
    map.Vector(name + "ffn_norm.weight", source + "post_attention_layernorm.weight", Role::kNorm, layer, {1, size.width});
    MapFeedForward(size, l, &map);
  }
  map.Vector("output_norm.weight", "model.norm.weight", Role::kNorm, -1, {1, size.width});
  if (!tied) map.Matrix("output.weight", head, Role::kOutput, -1, {size.vocabulary, size.width});
  static constexpr std::string_view kBuffers[] = {".rotary_emb.inv_freq"};
  return map.Finish(size.vocabulary, kBuffers);
}

}  // namespace nashswarm::model
