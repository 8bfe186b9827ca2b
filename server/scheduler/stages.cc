#include "server/scheduler/stages.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/utf8.h"
#include "server/store/job_spec.h"

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
    case v1::Job::CALIBRATE:
      return {"calibration.json", "moments.safetensors"};
    case v1::Job::MEASURE:
      return {absl::StrCat("curves-", shard, ".json")};
    case v1::Job::SOLVE:
      return {"plan.json"};
    case v1::Job::SEARCH:
      return {absl::StrCat("search-", shard, ".json")};
    case v1::Job::ENCODE:
      return {absl::StrCat("shard-", shard, ".bin"), absl::StrCat("shard-", shard, ".json")};
    case v1::Job::EVALUATE:
      return {"evaluation.json"};
    default:
      return {};
  }
}

// What the stage reads of the spec; PREPARE reads of texts how long they are, for the needs of later stages, and what is in
// them, to compare tokenizers. The data files stand in it by their content, so that a text under another name is the same
// text, and another text under the same name is not.
void AddSpecPart(const ClaimedTask& task, Json* key) {
  const Stage stage = task.lease.key.stage;
  Json& spec = (*key)["spec"] = SpecToJson(task.spec);
  if (stage < v1::Job::SOLVE) {
    spec.erase("target");
    spec.erase("search");
  }
  // PREPARE makes room for the order, and SOLVE finds it: what is measured between them does not know it.
  if (stage == v1::Job::CALIBRATE || stage == v1::Job::MEASURE) {
    for (const char* unread : {"expert_order", "model_name", "allow_tokenizer_mismatch"}) spec.erase(unread);
  }
  if (stage == v1::Job::CALIBRATE) {
    spec.erase("format");
    spec.erase("rules");
  }
  Json& data = (*key)["data"] = Json::object();
  for (const DataFile& file : task.data) data[file.purpose] = ToHex(file.digest.sha256);
}

Json CalibrationToJson(const v1::Calibration& calibration) {
  const auto source = calibration.source_case();
  const char* name = source == v1::Calibration::kText ? "text" : source == v1::Calibration::kSelf ? "self" : "imatrix";
  return {{"source", name}, {"tokens", calibration.tokens()}};
}

Json SearchToJson(const v1::Search& search) {
  if (search.off()) return {{"off", true}};
  return {{"context_rounds", search.context_rounds()},
          {"swarm_evaluations", search.swarm_evaluations()},
          {"swarm_seconds", search.swarm_seconds()}};
}

absl::Status ReadShards(const Json& result, TaskFinish* finish) {
  const int64_t shards = JsonInt(result, "shards", 0);
  if (shards < 1 || shards > kMaxShards) {
    return ProtocolError(v1::Job::PREPARE, absl::StrCat("'shards' is ", shards, ", not 1 to ", kMaxShards));
  }
  finish->shards = static_cast<int>(shards);
  finish->stage_weights = std::max<int64_t>(JsonInt(result, "weights", 0), 0);
  return absl::OkStatus();
}

absl::Status ReadSearchRounds(const Json& result, TaskFinish* finish) {
  const bool says = result.is_object() && result.contains("search_rounds");
  const int64_t rounds = says ? JsonInt(result, "search_rounds", -1) : 0;
  if (rounds < 0 || rounds > kMaxSearchRounds) {
    return ProtocolError(v1::Job::SOLVE, absl::StrCat("'search_rounds' is ", result["search_rounds"].dump(),
                                                      ", not 0 to ", kMaxSearchRounds));
  }
  finish->search_rounds = static_cast<int>(rounds);
  return absl::OkStatus();
}

void ReadQuality(const Json& json, v1::Job::Quality* quality) {
  quality->set_perplexity(JsonDouble(json, "perplexity", 0));
  quality->set_source_perplexity(JsonDouble(json, "source_perplexity", 0));
  quality->set_mean_kl(JsonDouble(json, "mean_kl", 0));
  quality->set_mean_kl_stderr(JsonDouble(json, "mean_kl_stderr", 0));
  quality->set_p99_kl(JsonDouble(json, "p99_kl", 0));
  quality->set_same_top1(JsonDouble(json, "same_top1", 0));
  quality->set_tokens(JsonInt(json, "tokens", 0));
}

// A job and a list of jobs are messages of gRPC, which have a bound.
constexpr size_t kMaxWarnings = 200, kMaxWarning = 2000;  // of code points

void ReadWarnings(const Json& warnings, v1::Job::Result* result) {
  const size_t shown = std::min(warnings.size(), kMaxWarnings);
  for (size_t i = 0; i < shown; ++i) {
    if (warnings[i].is_string()) result->add_warnings(Shortened(ValidUtf8(warnings[i].get<std::string>()), kMaxWarning));
  }
  if (shown < warnings.size()) result->add_warnings(absl::StrCat("and ", warnings.size() - shown, " more warnings"));
}

}  // namespace

JobShape ShapeAfter(const ClaimedTask& task, const TaskFinish& finish) {
  return {finish.shards > 0 ? finish.shards : task.shards, finish.search_rounds.value_or(task.search_rounds)};
}

NewTask FirstTask() { return {v1::Job::PREPARE, 0}; }

std::vector<NewTask> NextTasks(Stage stage, int shard, const JobShape& shape, const v1::CompressionSpec& spec) {
  const auto fan_out = [&shape](Stage next) {
    std::vector<NewTask> tasks;
    for (int i = 0; i < shape.shards; ++i) tasks.push_back({next, i});
    return tasks;
  };
  const auto search_or_encode = [&](int round) {
    return round < shape.search_rounds ? std::vector<NewTask>{{v1::Job::SEARCH, round}} : fan_out(v1::Job::ENCODE);
  };
  switch (stage) {
    case v1::Job::PREPARE:
      if (Calibrates(spec)) return {{v1::Job::CALIBRATE, 0}};
      return fan_out(v1::Job::MEASURE);
    case v1::Job::CALIBRATE:
      return fan_out(v1::Job::MEASURE);
    case v1::Job::MEASURE:
      return {{v1::Job::SOLVE, 0}};
    case v1::Job::SOLVE:
      return search_or_encode(0);
    case v1::Job::SEARCH:
      return search_or_encode(shard + 1);
    case v1::Job::ENCODE:
      return {{Evaluates(spec) ? v1::Job::EVALUATE : v1::Job::PUBLISH, 0}};
    case v1::Job::EVALUATE:
      return {{v1::Job::PUBLISH, 0}};
    default:
      return {};
  }
}

std::vector<Stage> InputStages(Stage stage, const v1::CompressionSpec& spec) {
  std::vector<Stage> stages;
  // A calibration is the slowest stage and about the checkpoint alone: whatever the artifact is to be, it is the same.
  if (stage > v1::Job::CALIBRATE) stages.push_back(v1::Job::PREPARE);
  if (stage > v1::Job::CALIBRATE && Calibrates(spec)) stages.push_back(v1::Job::CALIBRATE);
  switch (stage) {
    case v1::Job::SOLVE:
      stages.push_back(v1::Job::MEASURE);
      break;
    case v1::Job::SEARCH:
      stages.insert(stages.end(), {v1::Job::MEASURE, v1::Job::SOLVE, v1::Job::SEARCH});
      break;
    case v1::Job::ENCODE:
      stages.insert(stages.end(), {v1::Job::SOLVE, v1::Job::SEARCH});
      break;
    case v1::Job::EVALUATE:
      stages.insert(stages.end(), {v1::Job::SOLVE, v1::Job::SEARCH, v1::Job::ENCODE});
      break;
    case v1::Job::PUBLISH:
      stages.insert(stages.end(), {v1::Job::MEASURE, v1::Job::SOLVE, v1::Job::SEARCH, v1::Job::ENCODE});
      if (Evaluates(spec)) stages.push_back(v1::Job::EVALUATE);
      break;
    default:
      break;
  }
  return stages;
}

std::string StageName(Stage stage) {
  std::string name = v1::Job::Stage_Name(stage);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

bool CountsTokens(Stage stage) {
  return stage == v1::Job::CALIBRATE || stage == v1::Job::SEARCH || stage == v1::Job::EVALUATE;
}

bool KeepsResult(Stage stage) {
  return stage == v1::Job::PREPARE || stage == v1::Job::CALIBRATE || stage == v1::Job::MEASURE ||
         stage == v1::Job::SOLVE || stage == v1::Job::SEARCH;
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
    case v1::CompressionSpec::kMaxPplIncrease:
      json["target"] = {{"max_ppl_increase", spec.max_ppl_increase()}};
      break;
    case v1::CompressionSpec::kMaxKl:
      json["target"] = {{"max_kl", spec.max_kl()}};
      break;
    case v1::CompressionSpec::TARGET_NOT_SET:
      break;
  }
  json["format"] = spec.artifact_format();
  json["seed"] = spec.seed();
  json["rules"] = Json::array();
  for (const auto& rule : spec.rules()) json["rules"].push_back({{"pattern", rule.pattern()}, {"format", rule.format()}});
  json["zero_non_finite"] = spec.zero_non_finite();
  json["model_name"] = spec.model_name();
  json["allow_tokenizer_mismatch"] = spec.allow_tokenizer_mismatch();
  json["expert_order"] = spec.expert_order() == v1::CompressionSpec::TOGETHER ? "together" : "original";
  if (spec.has_calibration()) json["calibration"] = CalibrationToJson(spec.calibration());
  if (spec.has_evaluation()) {
    const v1::Evaluation& evaluation = spec.evaluation();
    json["evaluation"] = {
        {"text", !evaluation.text().empty()}, {"tokens", evaluation.tokens()}, {"context", evaluation.context()}};
  }
  if (spec.has_search()) json["search"] = SearchToJson(spec.search());
  return json;
}

std::string TaskCacheKey(const std::string& engine_digest, const ClaimedTask& task,
                         const std::vector<TaskOutput>& inputs) {
  Json key;  // its keys are sorted, so equal content is equal text
  key["engine"] = ToHex(engine_digest);
  key["tenant"] = task.tenant;  // how soon a result is there must not tell what others have
  key["stage"] = StageName(task.lease.key.stage);
  key["shard"] = task.lease.key.shard;
  key["model"] = ToHex(task.model_manifest.sha256);
  AddSpecPart(task, &key);
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
  if (stage == v1::Job::PREPARE) return ReadShards(result, finish);
  if (stage == v1::Job::SOLVE) return ReadSearchRounds(result, finish);
  if (stage == v1::Job::SEARCH && JsonBool(result, "done", false)) finish->search_rounds = shard + 1;
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
  success.result.set_plan_summary(Shortened(ValidUtf8(JsonString(result, "plan_summary")), kMaxWarning));
  if (const auto warnings = result.find("warnings"); warnings != result.end() && warnings->is_array()) {
    ReadWarnings(*warnings, &success.result);
  }
  if (const auto quality = result.find("quality"); quality != result.end() && quality->is_object()) {
    ReadQuality(*quality, success.result.mutable_quality());
  }
  finish->success = std::move(success);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
