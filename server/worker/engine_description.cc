#include "server/worker/engine_description.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "server/stages/stage.h"

namespace nashswarm::server {
namespace {

absl::Status NoDescription(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL", absl::StrCat("the engine's description of itself: ", ToAbsl(what)),
                   "check that nashswarmd and nashswarm-engine are of the same version");
}

// null when it is not there.
const Json& Member(const Json& object, const char* key) {
  static const Json kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::vector<std::string> Texts(const Json& list) {
  std::vector<std::string> out;
  for (const Json& entry : list) {
    if (entry.is_string()) out.push_back(entry.get<std::string>());
  }
  return out;
}

}  // namespace

const EngineDescription::NumberFormat* EngineDescription::FindNumberFormat(std::string_view name) const {
  for (const NumberFormat& format : number_formats) {
    if (absl::EqualsIgnoreCase(format.name, ToAbsl(name))) return &format;
  }
  return nullptr;
}

absl::StatusOr<EngineDescription> ParseEngineDescription(std::string_view text) {
  const absl::StatusOr<Json> json = ParseJson(text, "describe");
  if (!json.ok() || !json->is_object()) return NoDescription("is no JSON object");
  EngineDescription out;
  out.version = JsonString(*json, "version");
  for (const Json& entry : Member(*json, "architectures")) out.architectures.push_back(JsonString(entry, "model_type"));
  for (const Json& entry : Member(*json, "number_formats")) {
    out.number_formats.push_back({JsonString(entry, "name"), JsonDouble(entry, "bits_per_weight", 0),
                                  static_cast<int32_t>(JsonInt(entry, "block_weights", 0))});
  }
  out.artifact_kinds = Texts(Member(*json, "artifact_kinds"));
  out.stages = Texts(Member(*json, "stages"));
  out.max_header_bytes = JsonInt(Member(*json, "limits"), "header_bytes", 0);
  if (out.version.empty()) return NoDescription("has no version");
  if (out.number_formats.empty() || out.artifact_kinds.empty() || out.stages.empty()) return NoDescription("lists no formats, or no stages");
  return out;
}

absl::Status CheckEngine(const EngineDescription& engine, std::string_view version) {
  constexpr char kHint[] = "install the nashswarm-engine that came with this nashswarmd beside it, or name it with --engine";
  if (engine.version != version) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ENGINE_VERSION",
                     absl::StrCat("the engine is version ", engine.version, ", and this server ", ToAbsl(version)), kHint);
  }
  for (const StageRow& row : Stages()) {
    if (std::find(engine.stages.begin(), engine.stages.end(), row.name) != engine.stages.end()) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, "ENGINE_VERSION", absl::StrCat("the engine has no stage '", row.name, "'"), kHint);
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::server
