#include "core/model/experts.h"

#include "absl/strings/str_replace.h"
#include "core/base/checked.h"
#include "core/base/status.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufValue;

constexpr const char* kHint = "take config.json from the model's own repository";

void CheckEveryLayerHasExperts(uint64_t layers, Mapper* map) {
  const Json& config = map->config();
  const bool dense = map->Says("mlp_only_layers") && config["mlp_only_layers"] != Json::array();
  if (!dense && map->CountOr("decoder_sparse_step", 1) == 1) return;
  map->Fail("CONFIG_INVALID", absl::StrCat("config.json: some of the ", layers, " layers have no experts (mlp_only_layers, decoder_sparse_step)"),
            "models whose every layer has experts can be compressed");
}

}  // namespace

Experts ReadExperts(const Architecture& row, uint64_t layers, Mapper* map) {
  Experts experts;
  experts.count = map->Count("num_local_experts|num_experts");
  experts.used = map->Count("num_experts_per_tok");
  experts.ffn = map->Count(row.experts.width);
  experts.ffn_stored = AlignUp(experts.ffn, kNarrowBlock);
  if (row.design->experts.shared) {
    experts.shared_ffn = map->Count(row.experts.shared_width);
    experts.shared_stored = AlignUp(experts.shared_ffn, kNarrowBlock);
  }
  if (experts.count > kMaxExperts || experts.used > experts.count) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: a token cannot have ", experts.used, " of ", experts.count, " experts"), kHint);
  }
  if (row.experts.some_layers_without) CheckEveryLayerHasExperts(layers, map);
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

void PutExperts(const Architecture& row, const Experts& experts, Mapper* map) {
  map->Put("expert_count", GgufValue::U32(experts.count));
  map->Put("expert_used_count", GgufValue::U32(experts.used));
  if (row.design->experts.own_width) map->Put("expert_feed_forward_length", GgufValue::U32(experts.ffn_stored));
  if (experts.shared_ffn > 0) map->Put("expert_shared_feed_forward_length", GgufValue::U32(experts.shared_stored));
  const bool normalized = row.experts.always_normalized || map->Flag("norm_topk_prob", false);
  if (normalized == row.design->experts.normalized) return;
  map->Put("expert_weights_norm", GgufValue::Bool(normalized));
  map->Warn(absl::StrCat("norm_topk_prob is ", normalized ? "true" : "false", ": llama.cpp weighs the experts of this architecture ",
                         normalized ? "without" : "with", " that norm, and gives other results"));
}

void MapExperts(const Architecture& row, const Experts& experts, uint64_t width, uint64_t l, Mapper* map) {
  const int layer = static_cast<int>(l);
  const std::string stored = absl::StrCat("blk.", l, "."), source = absl::StrCat("model.layers.", l, ".");
  const auto matrix = [&](std::string_view part, Role role, int expert, uint64_t ffn, uint64_t padded) {
    Mapper::Shape shape{ffn, width, padded};
    if (role == Role::kFfnDown) shape = {width, ffn, 0, padded};
    shape.expert = expert;
    if (expert >= 0) shape.token_share = static_cast<double>(experts.used) / static_cast<double>(experts.count);
    const auto numbered = [&](std::string name) { return absl::StrReplaceAll(name, {{"#", absl::StrCat(expert)}}); };
    map->Matrix(numbered(absl::StrCat(stored, ToAbsl(part), ".weight")), numbered(absl::StrCat(source, NameInCheckpoint(row, part), ".weight")),
                role, layer, shape);
  };
  struct Part {
    std::string_view of_experts, shared;
    Role role;
  };
  constexpr Part kParts[] = {{"ffn_gate.#", "ffn_gate_shexp", Role::kFfnGate},
                             {"ffn_up.#", "ffn_up_shexp", Role::kFfnUp},
                             {"ffn_down.#", "ffn_down_shexp", Role::kFfnDown}};
  map->Matrix(stored + "ffn_gate_inp.weight", absl::StrCat(source, NameInCheckpoint(row, "ffn_gate_inp"), ".weight"), Role::kRouter, layer,
              {experts.count, width});
  for (const Part& part : kParts) {
    for (uint64_t e = 0; e < experts.count && map->ok(); ++e) {
      matrix(part.of_experts, part.role, static_cast<int>(e), experts.ffn, experts.ffn_stored);
    }
  }
  if (experts.shared_ffn == 0) return;
  map->Vector(stored + "ffn_gate_inp_shexp.weight", absl::StrCat(source, NameInCheckpoint(row, "ffn_gate_inp_shexp"), ".weight"),
              Role::kRouter, layer, {1, width});
  for (const Part& part : kParts) matrix(part.shared, part.role, -1, experts.shared_ffn, experts.shared_stored);
}

}  // namespace nashswarm::model
