#include "client/cli/json_format.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <initializer_list>

#include "client/cli/digest.h"
#include "client/cli/errors.h"
#include "client/cli/quality.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

using nlohmann::json;

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

template <typename Map>
json MapToJson(const Map& map) {
  json object = json::object();
  for (const auto& [key, value] : map) object[key] = value;
  return object;
}

template <typename Repeated>
json ListToJson(const Repeated& list) {
  json array = json::array();
  for (const auto& item : list) array.push_back(ToJson(item));
  return array;
}

template <typename Repeated>
json StringsToJson(const Repeated& list) {
  json array = json::array();
  for (const auto& item : list) array.push_back(item);
  return array;
}

}  // namespace

json ToJson(const v1::FileEntry& file) {
  return {{"path", file.path()}, {"sha256", ToHex(file.digest().sha256())}, {"size_bytes", file.digest().size_bytes()}};
}

json ToJson(const v1::Model& model) {
  return {{"name", model.name()},
          {"kind", KindName(model.kind())},
          {"architecture", model.architecture()},
          {"parameter_count", model.parameter_count()},
          {"tensor_count", model.tensor_count()},
          {"total_bytes", model.total_bytes()},
          {"weight_bytes", model.weight_bytes()},
          {"manifest_sha256", ToHex(model.manifest_digest().sha256())},
          {"create_time", FormatTime(model.create_time())},
          {"labels", MapToJson(model.labels())},
          {"files", ListToJson(model.files())}};
}

json ToJson(const v1::Calibration& calibration) {
  json object = {{"tokens", calibration.tokens()}};
  if (calibration.has_text()) object["text"] = calibration.text();
  if (calibration.has_self()) object["self"] = calibration.self();
  if (calibration.has_imatrix()) object["imatrix"] = calibration.imatrix();
  return object;
}

json ToJson(const v1::Search& search) {
  if (search.off()) return {{"off", true}};
  return {{"context_rounds", search.context_rounds()},
          {"swarm_evaluations", search.swarm_evaluations()},
          {"swarm_seconds", search.swarm_seconds()}};
}

json ToJson(const v1::CompressionSpec& spec) {
  json object = {{"artifact_format", spec.artifact_format()},
                 {"threads", spec.threads()},
                 {"seed", spec.seed()},
                 {"zero_non_finite", spec.zero_non_finite()},
                 {"model_name", spec.model_name()},
                 {"allow_tokenizer_mismatch", spec.allow_tokenizer_mismatch()},
                 {"expert_order", spec.expert_order() == v1::CompressionSpec::TOGETHER ? "together" : "original"},
                 {"rules", json::array()}};
  if (spec.has_bits_per_weight()) object["bits_per_weight"] = spec.bits_per_weight();
  if (spec.has_size_bytes()) object["size_bytes"] = spec.size_bytes();
  if (spec.has_ratio()) object["ratio"] = spec.ratio();
  if (spec.has_max_ppl_increase()) object["max_ppl_increase"] = spec.max_ppl_increase();
  if (spec.has_max_kl()) object["max_kl"] = spec.max_kl();
  if (spec.has_calibration()) object["calibration"] = ToJson(spec.calibration());
  if (spec.has_evaluation()) {
    const auto& evaluation = spec.evaluation();
    object["evaluation"] = {{"tokens", evaluation.tokens()}, {"context", evaluation.context()}};
    if (!evaluation.text().empty()) object["evaluation"]["text"] = evaluation.text();
  }
  if (spec.has_search()) object["search"] = ToJson(spec.search());
  for (const auto& rule : spec.rules()) {
    object["rules"].push_back({{"pattern", rule.pattern()}, {"format", rule.format()}});
  }
  return object;
}

json ToJson(const v1::Job::Progress& progress) {
  json object = {{"stage", StageName(progress.stage())},      {"tasks_done", progress.tasks_done()},
                 {"tasks_total", progress.tasks_total()},     {"weights_done", progress.weights_done()},
                 {"weights_total", progress.weights_total()}, {"current_tensor", progress.current_tensor()}};
  if (progress.has_eta()) object["eta_seconds"] = Seconds(progress.eta());
  return object;
}

json ToJson(const v1::Job::Result& result) {
  json object = {{"artifact", result.artifact()},
          {"output_bytes", result.output_bytes()},
          {"bits_per_weight", result.bits_per_weight()},
          {"ratio_fp32", result.ratio_fp32()},
          {"ratio_source", result.ratio_source()},
          {"relative_error", result.relative_error()},
          {"parameter_count", result.parameter_count()},
          {"warnings", StringsToJson(result.warnings())},
          {"plan_summary", result.plan_summary()}};
  if (result.has_quality()) object["quality"] = ToJson(result.quality());
  return object;
}

json ToJson(const v1::Job& job) {
  json object = {{"name", job.name()},
                 {"model", job.model()},
                 {"state", StateName(job.state())},
                 {"spec", ToJson(job.spec())},
                 {"priority", job.priority()},
                 {"cancel_requested", job.cancel_requested()},
                 {"labels", MapToJson(job.labels())}};
  if (!job.traceparent().empty()) object["traceparent"] = job.traceparent();
  if (job.has_progress()) object["progress"] = ToJson(job.progress());
  if (job.has_result()) object["result"] = ToJson(job.result());
  if (job.has_error()) object["error"] = ErrorToJson(FromProto(job.error()))["error"];
  if (job.has_create_time()) object["create_time"] = FormatTime(job.create_time());
  if (job.has_start_time()) object["start_time"] = FormatTime(job.start_time());
  if (job.has_end_time()) object["end_time"] = FormatTime(job.end_time());
  return object;
}

json ToJson(const v1::JobEvent& event) {
  json object = {{"sequence", event.sequence()}, {"time", FormatTime(event.time())}};
  if (event.has_snapshot()) object["snapshot"] = ToJson(event.snapshot());
  if (event.has_progress()) object["progress"] = ToJson(event.progress());
  if (event.has_tensor_done()) {
    object["tensor_done"] = {{"tensor", event.tensor_done().tensor()},
                             {"format", event.tensor_done().format()},
                             {"bits_per_weight", event.tensor_done().bits_per_weight()},
                             {"relative_error", event.tensor_done().relative_error()}};
  }
  if (event.has_log()) object["log"] = {{"severity", event.log().severity()}, {"text", event.log().text()}};
  return object;
}

json ToJson(const v1::Artifact& artifact) {
  return {{"name", artifact.name()},
          {"job", artifact.job()},
          {"model", artifact.model()},
          {"format", artifact.format()},
          {"total_bytes", artifact.total_bytes()},
          {"create_time", FormatTime(artifact.create_time())},
          {"files", ListToJson(artifact.files())}};
}

json ToJson(const v1::ServerInfo& info) {
  const auto& limits = info.limits();
  json formats = json::array();
  for (const auto& format : info.formats()) {
    formats.push_back({{"name", format.name()},
                       {"bits_per_weight", format.bits_per_weight()},
                       {"block_weights", format.block_weights()}});
  }
  return {{"version", info.version()},
          {"limits",
           {{"max_chunk_bytes", limits.max_chunk_bytes()},
            {"max_file_bytes", limits.max_file_bytes()},
            {"max_upload_bytes", limits.max_upload_bytes()},
            {"max_files_per_upload", limits.max_files_per_upload()},
            {"max_header_bytes", limits.max_header_bytes()},
            {"max_queued_jobs", limits.max_queued_jobs()},
            {"max_attempts", limits.max_attempts()},
            {"upload_ttl_seconds", Seconds(limits.upload_ttl())},
            {"lease_seconds", Seconds(limits.lease())}}},
          {"formats", formats},
          {"artifact_formats", StringsToJson(info.artifact_formats())},
          {"architectures", StringsToJson(info.architectures())},
          {"workers", info.workers()},
          {"jobs_queued", info.jobs_queued()},
          {"jobs_running", info.jobs_running()}};
}

// Before there were data files there was no kind.
std::string KindName(v1::Model::Kind kind) { return kind == v1::Model::DATA ? "data" : "checkpoint"; }

std::string StateName(v1::Job::State state) { return v1::Job::State_Name(state); }

std::string StageName(v1::Job::Stage stage) { return v1::Job::Stage_Name(stage); }

std::string FormatAge(const google::protobuf::Timestamp& time, std::time_t now) {
  const int64_t seconds = std::max<int64_t>(now - time.seconds(), 0);
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / (24 * 3600)) + " d";
}

std::string FormatTime(const google::protobuf::Timestamp& time) {
  const std::time_t seconds = time.seconds();
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> buffer;
  std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return buffer.data();
}

std::string FormatTarget(const v1::CompressionSpec& spec) {
  switch (spec.target_case()) {
    case v1::CompressionSpec::kBitsPerWeight: {
      std::array<char, 32> buffer;
      std::snprintf(buffer.data(), buffer.size(), "%g bpw", spec.bits_per_weight());
      return buffer.data();
    }
    case v1::CompressionSpec::kSizeBytes:
      return FormatBytes(static_cast<double>(spec.size_bytes()));
    case v1::CompressionSpec::kRatio:
      return FormatPercent(spec.ratio()) + " off";
    case v1::CompressionSpec::kMaxPplIncrease:
      return "ppl " + FormatChange(spec.max_ppl_increase());
    case v1::CompressionSpec::kMaxKl:
      return "KL " + FormatError(spec.max_kl());
    default:
      return "-";
  }
}

}  // namespace nashswarm::cli
