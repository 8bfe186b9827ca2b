#include "core/model/architecture_table.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/model/mapper.h"

namespace nashswarm::model {
namespace {

constexpr BranchDesign kPreNorm[] = {{BlockKind::kAttention, "attn_norm"}, {BlockKind::kFeedForward, "ffn_norm"}};
constexpr BranchDesign kSandwich[] = {{BlockKind::kAttention, "attn_norm", "post_attention_norm"},
                                      {BlockKind::kFeedForward, "ffn_norm", "post_ffw_norm"}};

constexpr Design kGpt2 = {.norm = NormKind::kLayer,
                          .learned_positions = true,
                          .attention = {.fused = true, .rotation = Rotation::kNone},
                          .mlp = {.gated = false, .activation = Activation::kGelu},
                          .layer = kPreNorm};
constexpr Design kLlama = {.experts = {.normalized = true}, .layer = kPreNorm};  // the experts are mixtral's
constexpr Design kQwen2 = {.attention = {.rotation = Rotation::kHalves}, .layer = kPreNorm};
constexpr Design kQwen3 = {.attention = {.norms = HeadNorms::kEach, .rotation = Rotation::kHalves}, .layer = kPreNorm};
constexpr Design kQwen2Moe = {.attention = {.rotation = Rotation::kHalves},
                              .experts = {.required = true, .own_width = true, .shared = true},
                              .layer = kPreNorm};
constexpr Design kQwen3Moe = {.attention = {.norms = HeadNorms::kEach, .rotation = Rotation::kHalves},
                              .experts = {.required = true, .normalized = true, .own_width = true},
                              .layer = kPreNorm};
constexpr Design kOlmoe = {.attention = {.norms = HeadNorms::kAll, .rotation = Rotation::kHalves},
                           .experts = {.required = true},
                           .layer = kPreNorm};
// Five layers with a window to one without, and a base of their own for those (Gemma 3 Technical Report, 2025).
constexpr Design kGemma3 = {.scaled_embedding = true,
                            .attention = {.norms = HeadNorms::kEach,
                                          .rotation = Rotation::kHalves,
                                          .needs_window = true,
                                          .window_period = 6,
                                          .window_rope_base = 1e4,
                                          .window_rope_scaling = false},
                            .mlp = {.activation = Activation::kGelu},
                            .layer = kSandwich};

constexpr Design kArcee = {.mlp = {.gated = false, .activation = Activation::kReluSquared}, .layer = kPreNorm};
constexpr Design kSmolLm3 = {.attention = {.unrotated_period = 4}, .layer = kPreNorm};

constexpr PartName kGemmaNames[] = {{"post_attention_norm", "post_attention_layernorm"},
                                    {"ffn_norm", "pre_feedforward_layernorm"},
                                    {"post_ffw_norm", "post_feedforward_layernorm"}};
constexpr PartName kMixtralNames[] = {{"ffn_gate_inp", "block_sparse_moe.gate"},
                                      {"ffn_gate.#", "block_sparse_moe.experts.#.w1"},
                                      {"ffn_up.#", "block_sparse_moe.experts.#.w3"},
                                      {"ffn_down.#", "block_sparse_moe.experts.#.w2"}};

constexpr BiasRule kNoBias, kAlwaysBias{"", true};

constexpr Architecture kTable[] = {
    {.model_type = "gpt2", .gguf = "gpt2", .design = &kGpt2, .map = MapGpt2},
    {.model_type = "llama", .gguf = "llama", .design = &kLlama, .map = MapDecoder, .mlp_bias = {"mlp_bias"}},
    {.model_type = "mistral", .gguf = "llama", .design = &kLlama, .map = MapDecoder, .window = WindowRule::kEvery,
     .attention_bias = kNoBias},
    {.model_type = "qwen2", .gguf = "qwen2", .design = &kQwen2, .map = MapDecoder, .window = WindowRule::kFromLayer,
     .attention_bias = kAlwaysBias, .bias_of_output = false},
    {.model_type = "qwen3", .gguf = "qwen3", .design = &kQwen3, .map = MapDecoder, .window = WindowRule::kFromLayer},
    {.model_type = "gemma3_text", .gguf = "gemma3", .design = &kGemma3, .map = MapDecoder, .names = kGemmaNames, .norm_plus = 1,
     .activation = "hidden_activation", .tied_head = true, .rope_base = 1e6, .window = WindowRule::kPeriodic,
     .score_width = "query_pre_attn_scalar", .score_width_otherwise = 256, .window_is_run = true},
    {.model_type = "mixtral", .gguf = "llama", .design = &kLlama, .map = MapDecoder, .names = kMixtralNames, .epsilon = 1e-5,
     .rope_base = 1e6, .window = WindowRule::kEvery, .window_width = 0, .attention_bias = kNoBias,
     .experts = {.present = true, .always_normalized = true}},
    {.model_type = "qwen2_moe", .gguf = "qwen2moe", .design = &kQwen2Moe, .map = MapDecoder, .window = WindowRule::kEveryOther,
     .attention_bias = {"qkv_bias", true}, .bias_of_output = false,
     .experts = {.present = true, .width = "moe_intermediate_size", .shared_width = "shared_expert_intermediate_size",
                 .some_layers_without = true}},
    {.model_type = "qwen3_moe", .gguf = "qwen3moe", .design = &kQwen3Moe, .map = MapDecoder, .window = WindowRule::kEveryOnRequest,
     .experts = {.present = true, .width = "moe_intermediate_size", .some_layers_without = true}},
    {.model_type = "olmoe", .gguf = "olmoe", .design = &kOlmoe, .map = MapDecoder, .epsilon = 1e-5, .experts = {.present = true}},
    {.model_type = "arcee", .gguf = "arcee", .design = &kArcee, .map = MapDecoder, .epsilon = 1e-5, .mlp_bias = {"mlp_bias"}},
    {.model_type = "smollm3", .gguf = "smollm3", .design = &kSmolLm3, .map = MapDecoder, .tied_head = true, .rope_base = 2e6,
     .window = WindowRule::kRefused, .mlp_bias = {"mlp_bias"}},
};

}  // namespace

absl::Span<const Architecture> Architectures() { return kTable; }

const Architecture* FindArchitecture(std::string_view model_type) {
  const auto* found = std::find_if(std::begin(kTable), std::end(kTable), [&](const Architecture& row) { return row.model_type == model_type; });
  return found == std::end(kTable) ? nullptr : found;
}

const Design* DesignOf(std::string_view gguf) {
  const auto* found = std::find_if(std::begin(kTable), std::end(kTable), [&](const Architecture& row) { return row.gguf == gguf; });
  return found == std::end(kTable) ? nullptr : found->design;
}

std::string ListModelTypes() {
  return absl::StrJoin(kTable, ", ", [](std::string* out, const Architecture& row) { out->append(row.model_type); });
}

std::string ListGgufArchitectures() {
  std::vector<std::string> names;
  for (const Architecture& row : kTable) {
    if (std::find(names.begin(), names.end(), row.gguf) == names.end()) names.emplace_back(row.gguf);
  }
  const std::string last = names.back();
  names.pop_back();
  return absl::StrCat(absl::StrJoin(names, ", "), " and ", last);
}

}  // namespace nashswarm::model
