// GPT-2: Conv1D weights are [in, out] in the checkpoint; the output head is tied to wte.
#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/model/mapper.h"

namespace nashswarm::model {

using checkpoint::GgufValue;

namespace {

constexpr char kRoot[] = "transformer.";

// Scores of attention are divided by the root of a head's width everywhere; what config.json has beside that goes into the
// queries, whose products they are. (reorder_and_upcast_attn changes the order of that work and nothing else.)
struct QueryScales {
  bool by_layer = false;  // layer l divides by l + 1
  double all = 1;
  float Of(uint64_t layer) const { return static_cast<float>(by_layer ? all / static_cast<double>(layer + 1) : all); }
};

QueryScales ReadQueryScales(uint64_t head_width, Mapper* map) {
  QueryScales scales;
  scales.by_layer = map->Flag("scale_attn_by_inverse_layer_idx", false);
  if (!map->Flag("scale_attn_weights", true)) scales.all = std::sqrt(static_cast<double>(head_width));
  if (scales.by_layer) map->Warn("scale_attn_by_inverse_layer_idx: GGUF has no key for it, so the queries' weights and biases of layer l are divided by l + 1 there");
  if (scales.all != 1) map->Warn("scale_attn_weights is false: GGUF has no key for it, so the queries' weights and biases are multiplied by the root of a head's width there");
  return scales;
}

}  // namespace

absl::StatusOr<Model> MapGpt2(const checkpoint::Checkpoint& checkpoint, const Architecture& row) {
  Mapper map(checkpoint, std::string(row.gguf));
  map.UseRoot(kRoot, "h.");
  const uint64_t layers = map.Count("n_layer|num_hidden_layers"), heads = map.Count("n_head|num_attention_heads"),
                 width = map.Count("n_embd|hidden_size"), context = map.Count("n_positions|n_ctx"),
                 vocabulary = map.Count("vocab_size"), ffn = map.CountOr("n_inner", 4 * width),
                 ffn_stored = AlignUp(ffn, kNarrowBlock);
  if (width % heads != 0) map.Fail("CONFIG_INVALID", "config.json: n_embd is not a multiple of n_head", "");
  if (!map.Flag("tie_word_embeddings", true)) {
    map.Fail("CONFIG_INVALID", "config.json: an untied GPT-2 head is not supported", "set tie_word_embeddings or merge the head");
  }
  if (const std::string activation = map.Text("activation_function", "gelu_new");
      activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    map.Fail("CONFIG_INVALID", absl::StrCat("config.json: activation_function '", activation, "' is not GPT-2's"),
             "GGUF's gpt2 runs gelu_new only");
  }
  map.Put("block_count", GgufValue::U32(layers));
  map.Put("context_length", GgufValue::U32(context));
  map.Put("embedding_length", GgufValue::U32(width));
  map.Put("feed_forward_length", GgufValue::U32(ffn_stored));
  map.Put("attention.head_count", GgufValue::U32(heads));
  map.Put("attention.layer_norm_epsilon", GgufValue::F32(map.Real("layer_norm_epsilon", 1e-5)));
  if (ffn_stored != ffn) {
    map.Warn(absl::StrCat("feed-forward width ", ffn, " padded with zeros to ", ffn_stored, " (exact: outputs unchanged)"));
  }

  const std::string root = kRoot;
  const QueryScales scales = ReadQueryScales(width / std::max<uint64_t>(heads, 1), &map);
  map.Matrix("token_embd.weight", root + "wte.weight", Role::kTokenEmbedding, -1, {vocabulary, width});
  map.Matrix("position_embd.weight", root + "wpe.weight", Role::kPositionEmbedding, -1, {context, width});
  const auto norm = [&](const std::string& name, const std::string& source, int layer) {
    map.Vector(name + ".weight", root + source + ".weight", Role::kNorm, layer, {1, width});
    map.Vector(name + ".bias", root + source + ".bias", Role::kNorm, layer, {1, width});
  };
  const auto linear = [&](const std::string& name, const std::string& source, Role role, int layer, uint64_t out,
                          uint64_t in, uint64_t out_stored, uint64_t in_stored, uint64_t scaled = 0, float scale = 1) {
    Mapper::Shape matrix{out, in, out_stored, in_stored, Layout::kTransposed}, bias{1, out, 1, out_stored};
    matrix.scaled = bias.scaled = scaled;
    matrix.scale = bias.scale = scale;
    map.Matrix(name + ".weight", root + source + ".weight", role, layer, matrix);
    map.Vector(name + ".bias", root + source + ".bias", Role::kBias, layer, bias);
  };
  for (uint64_t l = 0; l < layers && map.ok(); ++l) {
    const int layer = static_cast<int>(l);
    const std::string name = absl::StrCat("blk.", l, "."), source = absl::StrCat("h.", l, ".");
    norm(name + "attn_norm", source + "ln_1", layer);
    linear(name + "attn_qkv", source + "attn.c_attn", Role::kQueryKeyValue, layer, 3 * width, width, 0, 0,
           scales.Of(l) == 1 ? 0 : width, scales.Of(l));
    linear(name + "attn_output", source + "attn.c_proj", Role::kAttentionOutput, layer, width, width, 0, 0);
    norm(name + "ffn_norm", source + "ln_2", layer);
    linear(name + "ffn_up", source + "mlp.c_fc", Role::kFfnUp, layer, ffn, width, ffn_stored, 0);
    linear(name + "ffn_down", source + "mlp.c_proj", Role::kFfnDown, layer, width, ffn, 0, ffn_stored);
  }
  norm("output_norm", "ln_f", -1);
  IgnoreTiedHead(root + "wte.weight", &map);
  static constexpr std::string_view kBuffers[] = {".attn.bias", ".attn.masked_bias"};  // causal masks
  return map.Finish(vocabulary, kBuffers);
}

}  // namespace nashswarm::model
