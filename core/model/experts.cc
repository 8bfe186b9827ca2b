#include "core/model/experts.h"

#include "core/base/checked.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufValue;

constexpr const char* kHint = "take config.json from the model's own repository";

// Whether the chosen experts' weights add up to 1 where config.json does not say, and in llama.cpp.
bool NormalizedByDefault(ExpertStyle style) { return style == ExpertStyle::kMixtral; }
bool NormalizedInLlamaCpp(ExpertStyle style) { return style == ExpertStyle::kMixtral || style == ExpertStyle::kQwen3; }

void CheckEveryLayerHasExperts(uint64_t layers, Mapper* map) {
  const Json& config = map->config();
  const bool dense = map->Says("mlp_only_layers") && config["mlp_only_layers"] != Json::array();
  if (!dense && map->CountOr("decoder_sparse_step", 1) == 1) return;
  map->Fail("CONFIG_INVALID", absl::StrCat("config.json: some of the ", layers, " layers have no experts (mlp_only_layers, decoder_sparse_step)"),
            "models whose every layer has experts can be compressed");
}

}  // namespace

Experts ReadExperts(ExpertStyle style, uint64_t layers, Mapper* map) {
  Experts experts;
  const bool qwen = style == ExpertStyle::kQwen2 || style == ExpertStyle::kQwen3;
  experts.count = map->Count("num_local_experts|num_experts");
  experts.used = map->Count("num_experts_per_tok");
  experts.ffn = map->Count(qwen ? "moe_intermediate_size" : "intermediate_size");
  experts.ffn_stored = AlignUp(experts.ffn, kNarrowBlock);
  if (style == ExpertStyle::kQwen2) {
    experts.shared_ffn = map->Count("shared_expert_intermediate_size");
    experts.shared_stored = AlignUp(experts.shared_ffn, kNarrowBlock);
  }
  if (experts.count > kMaxExperts || experts.used > experts.count) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: a token cannot have ", experts.used, " of ", experts.count, " experts"), kHint);
  }
  if (qwen) CheckEveryLayerHasExperts(layers, map);
  if (map->Says("clip_qkv")) {
    map->Fail("CONFIG_INVALID", "config.json: clip_qkv is not this architecture's in GGUF", "");
  }
  if (experts.ffn_stored != experts.ffn || experts.shared_stored != experts.shared_ffn) {
    map->Warn(absl::StrCat("experts' widths of ", experts.ffn, experts.shared_ffn > 0 ? absl::StrCat(" and ", experts.shared_ffn) : "",
                           " padded with zeros to multiples of ", kNarrowBlock,
                           " (exact: outputs unchanged), so that their matrices can be quantized"));
  }
  return experts;
}

void PutExperts(ExpertStyle style, const Experts& experts, Mapper* map) {
  map->Put("expert_count", GgufValue::U32(experts.count));
  map->Put("expert_used_count", GgufValue::U32(experts.used));
  if (style == ExpertStyle::kQwen2 || style == ExpertStyle::kQwen3) {
    map->Put("expert_feed_forward_length", GgufValue::U32(experts.ffn_stored));
  }
  if (experts.shared_ffn > 0) map->Put("expert_shared_feed_forward_length", GgufValue::U32(experts.shared_stored));
  const bool normalized =
      style == ExpertStyle::kMixtral || map->Flag("norm_topk_prob", NormalizedByDefault(style));
  if (normalized == NormalizedInLlamaCpp(style)) return;
  map->Put("expert_weights_norm", GgufValue::Bool(normalized));
  map->Warn(absl::StrCat("norm_topk_prob is ", normalized ? "true" : "false", ": llama.cpp weighs the experts of this architecture ",
                         normalized ? "without" : "with", " that norm, and gives other results"));
}

void MapExperts(ExpertStyle style, const Experts& experts, uint64_t width, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const bool mixtral = style == ExpertStyle::kMixtral;
  const std::string name = absl::StrCat("blk.", l, ".ffn_");
  const std::string source = absl::StrCat("model.layers.", l, mixtral ? ".block_sparse_moe." : ".mlp.");
  const auto matrix = [&](const std::string& to, const std::string& from, Role role, int expert, uint64_t ffn, uint64_t stored) {
    Mapper::Shape shape{ffn, width, stored};
    if (role == Role::kFfnDown) shape = {width, ffn, 0, stored};
    shape.expert = expert;
    if (expert >= 0) shape.token_share = static_cast<double>(experts.used) / static_cast<double>(experts.count);
    map->Matrix(to, from, role, layer, shape);
  };
  map->Matrix(name + "gate_inp.weight", source + "gate.weight", Role::kRouter, layer, {experts.count, width});
  struct Part {
    const char *name, *mixtral, *other;
    Role role;
  };
  constexpr Part kParts[] = {{"gate", "w1", "gate_proj", Role::kFfnGate},
                             {"up", "w3", "up_proj", Role::kFfnUp},
                             {"down", "w2", "down_proj", Role::kFfnDown}};
  for (const Part& part : kParts) {
    for (uint64_t e = 0; e < experts.count && map->ok(); ++e) {
      matrix(absl::StrCat(name, part.name, ".", e, ".weight"),
             absl::StrCat(source, "experts.", e, ".", mixtral ? part.mixtral : part.other, ".weight"), part.role,
             static_cast<int>(e), experts.ffn, experts.ffn_stored);
    }
  }
  if (experts.shared_ffn == 0) return;
  map->Vector(name + "gate_inp_shexp.weight", source + "shared_expert_gate.weight", Role::kRouter, layer, {1, width});
  for (const Part& part : kParts) {
    matrix(absl::StrCat(name, part.name, "_shexp.weight"), absl::StrCat(source, "shared_expert.", part.other, ".weight"),
           part.role, -1, experts.shared_ffn, experts.shared_stored);
  }
}

}  // namespace nashswarm::model
