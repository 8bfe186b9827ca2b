#include "server/scheduler/stages.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

absl::Status ProtocolError(Stage stage, const std::string& what) {
  return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL",
                   absl::StrCat("the engine's ", StageName(stage), " task broke the protocol: ", what),
                   "check that nashswarmd and nashswarm-engine are of the same version");
}

std::vector<std::string> ExpectedOutputs(Stage stage, int shard) {
  switch (stage) {
    case v1::Job::PREPARE:
      return {"prepared.json"};
    case v1::Job::MEASURE:
      return {absl::StrCat("curves-", shard, ".json")};
    case v1::Job::SOLVE:
      return {"plan.json"};
    case v1::Job::ENCODE:
      return {absl::StrCat("shard-", shard, ".bin"), absl::StrCat("shard-", shard, ".json")};
    default:
      return {};
  }
}

}  // namespace

NewTask FirstTask() { return {v1::Job::PREPARE, 0}; }

std::vector<NewTask> NextTasks(Stage stage, int shards) {
  const auto fan_out = [shards](Stage next) {
    std::vector<NewTask> tasks;
    for (int shard = 0; shard < shards; ++shard) tasks.push_back({next, shard});
    return tasks;
  };
  switch (stage) {
    case v1::Job::PREPARE:
      return fan_out(v1::Job::MEASURE);
    case v1::Job::MEASURE:
      return {{v1::Job::SOLVE, 0}};
    case v1::Job::SOLVE:
      return fan_out(v1::Job::ENCODE);
    case v1::Job::ENCODE:
      return {{v1::Job::PUBLISH, 0}};
    default:
      return {};
  }
}

std::vector<Stage> InputStages(Stage stage) {
  switch (stage) {
    case v1::Job::MEASURE:
      return {v1::Job::PREPARE};
    case v1::Job::SOLVE:
      return {v1::Job::PREPARE, v1::Job::MEASURE};
    case v1::Job::ENCODE:
      return {v1::Job::PREPARE, v1::Job::SOLVE};
    case v1::Job::PUBLISH:
      return {v1::Job::PREPARE, v1::Job::MEASURE, v1::Job::SOLVE, v1::Job::ENCODE};
    default:
      return {};
  }
}

std::string StageName(Stage stage) {
  std::string name = v1::Job::Stage_Name(stage);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

bool KeepsResult(Stage stage) {
  return stage == v1::Job::PREPARE || stage == v1::Job::MEASURE || stage == v1::Job::SOLVE;
}

Json SpecToJson(const v1::CompressionSpec& spec) {
  Json json;
  switch (spec.target_case()) {
    case v1::CompressionSpec::kBitsPerWeight:
      json["target"] = {{"bits_per_weight", spec.bits_per_weight()}};
      break;
    case v1::CompressionSpec::kSizeBytes:
      json["target"] = {{"size_bytes", spec.size_bytes()}};
      break;
    case v1::CompressionSpec::kRatio:
      json["target"] = {{"ratio", spec.ratio()}};
      break;
    case v1::CompressionSpec::TARGET_NOT_SET:
      break;
  }
  json["format"] = spec.artifact_format();
  json["seed"] = spec.seed();
  json["rules"] = Json::array();
  for (const auto& rule : spec.rules()) json["rules"].push_back({{"pattern", rule.pattern()}, {"format", rule.format()}});
  json["zero_non_finite"] = spec.zero_non_finite();
  return json;
}

std::string TaskCacheKey(const std::string& engine_digest, Stage stage, int shard, const std::string& model_manifest,
                         const v1::CompressionSpec& spec, const std::vector<TaskOutput>& inputs) {
  Json key;  // its keys are sorted, so equal content is equal text
  key["engine"] = ToHex(engine_digest);
  key["stage"] = StageName(stage);
  key["shard"] = shard;
  key["model"] = ToHex(model_manifest);
  key["spec"] = SpecToJson(spec);
  if (stage == v1::Job::PREPARE || stage == v1::Job::MEASURE) key["spec"].erase("target");
  key["inputs"] = Json::object();
  for (const TaskOutput& input : inputs) key["inputs"][input.name] = ToHex(input.digest.sha256);
  return Sha256Of(key.dump(-1, ' ', false, Json::error_handler_t::replace));
}

absl::Status ReadStageResult(Stage stage, int shard, const Json& result, const std::string& artifact_format,
                             TaskFinish* finish) {
  for (const std::string& name : ExpectedOutputs(stage, shard)) {
    const bool there = std::any_of(finish->outputs.begin(), finish->outputs.end(),
                                   [&](const TaskOutput& output) { return output.name == name; });
    if (!there) return ProtocolError(stage, absl::StrCat("it ended well but left no '", name, "'"));
  }
  if (stage == v1::Job::PREPARE) {
    const int64_t shards = JsonInt(result, "shards", 0);
    if (shards < 1 || shards > kMaxShards) {
      return ProtocolError(stage, absl::StrCat("'shards' is ", shards, ", not 1 to ", kMaxShards));
    }
    finish->shards = static_cast<int>(shards);
    finish->stage_weights = std::max<int64_t>(JsonInt(result, "weights", 0), 0);
  }
  if (stage != v1::Job::PUBLISH) return absl::OkStatus();

  JobSuccess success;
  success.format = artifact_format;
  for (const TaskOutput& output : finish->outputs) {
    constexpr std::string_view kPrefix = "artifact/";
    if (!output.name.starts_with(kPrefix)) {
      return ProtocolError(stage, absl::StrCat("'", output.name, "' is outside artifact/"));
    }
    success.files.push_back({output.name.substr(kPrefix.size()), output.digest});
  }
  if (success.files.empty()) return ProtocolError(stage, "the artifact has no file");
  success.result.set_output_bytes(JsonInt(result, "output_bytes", 0));
  success.result.set_bits_per_weight(JsonDouble(result, "bits_per_weight", 0));
  success.result.set_ratio_fp32(JsonDouble(result, "ratio_fp32", 0));
  success.result.set_ratio_source(JsonDouble(result, "ratio_source", 0));
  success.result.set_relative_error(JsonDouble(result, "relative_error", 0));
  success.result.set_parameter_count(JsonInt(result, "parameters", 0));
  success.result.set_plan_summary(JsonString(result, "plan_summary"));
  if (const auto warnings = result.find("warnings"); warnings != result.end() && warnings->is_array()) {
    for (const Json& warning : *warnings) {
      if (warning.is_string()) success.result.add_warnings(warning.get<std::string>());
    }
  }
  finish->success = std::move(success);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
