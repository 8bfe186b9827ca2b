// PUBLISH's result: the artifact's files and figures, which are the job's.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/utf8.h"
#include "server/stages/readers.h"

namespace nashswarm::server {
namespace {

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

absl::Status ReadPublishResult(const StageResult& result, TaskFinish* finish) {
  const Json& json = result.json;
  JobSuccess success;
  success.format = result.artifact_format;
  for (const TaskOutput& output : finish->outputs) {
    constexpr std::string_view kPrefix = "artifact/";
    if (!output.name.starts_with(kPrefix)) {
      return ProtocolError(v1::Job::PUBLISH, absl::StrCat("'", output.name, "' is outside artifact/"));
    }
    success.files.push_back({output.name.substr(kPrefix.size()), output.digest});
  }
  if (success.files.empty()) return ProtocolError(v1::Job::PUBLISH, "the artifact has no file");
  success.result.set_output_bytes(JsonInt(json, "output_bytes", 0));
  success.result.set_bits_per_weight(JsonDouble(json, "bits_per_weight", 0));
  success.result.set_ratio_fp32(JsonDouble(json, "ratio_fp32", 0));
  success.result.set_ratio_source(JsonDouble(json, "ratio_source", 0));
  success.result.set_relative_error(JsonDouble(json, "relative_error", 0));
  success.result.set_parameter_count(JsonInt(json, "parameters", 0));
  success.result.set_plan_summary(Shortened(ValidUtf8(JsonString(json, "plan_summary")), kMaxWarning));
  if (const auto warnings = json.find("warnings"); warnings != json.end() && warnings->is_array()) {
    ReadWarnings(*warnings, &success.result);
  }
  if (const auto quality = json.find("quality"); quality != json.end() && quality->is_object()) {
    ReadQuality(*quality, success.result.mutable_quality());
  }
  finish->success = std::move(success);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
