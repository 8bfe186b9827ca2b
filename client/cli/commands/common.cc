#include <unistd.h>

#include <random>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/digest.h"
#include "client/cli/files.h"
#include "client/cli/hub/hub.h"
#include "client/cli/json_format.h"
#include "client/cli/output.h"
#include "client/cli/quality.h"
#include "client/cli/sizes.h"
#include "client/cli/watch.h"

namespace nashswarm::cli {

absl::StatusOr<std::string> LocalDirectory(App& app, const std::string& name) {
  if (IsHubAddress(name) && !FileExists(name)) {
    const std::string meant = HubNameMeantBy(name);
    return UsageError(name + " is an address, and a directory is asked for",
                      meant.empty() ? "a model of the Hugging Face hub is written hf://ORG/NAME"
                                    : "write " + meant + ", which is downloaded");
  }
  if (!IsHubName(name)) return name;
  NS_ASSIGN_OR_RETURN(const HubName model, ParseHubName(name));
  NS_ASSIGN_OR_RETURN(const HubSettings settings, ReadHubSettings(app.environment()));
  auto directory = FetchFromHub(model, settings, app.interrupt(), app.progress());
  if (directory.ok() || ExitCodeOf(directory.status()) != kExitInterrupted) return directory;
  return InterruptedError("interrupted; what was downloaded is kept", "run the same command again to go on from there");
}

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> map;
  for (const std::string& label : labels) {
    const size_t split = label.find('=');
    if (split == std::string::npos || split == 0) {
      return UsageError("the label '" + label + "' is not KEY=VALUE", "write it like --label team=research");
    }
    map[label.substr(0, split)] = label.substr(split + 1);
  }
  return map;
}

absl::StatusOr<v1::Job> CreateJob(const Session& session, const std::string& model, const v1::CompressionSpec& spec,
                                  const std::map<std::string, std::string>& labels) {
  v1::CreateJobRequest request;
  request.set_model(QualifiedName("models", model));
  *request.mutable_spec() = spec;
  request.set_request_id(NewRequestId());
  for (const auto& [key, value] : labels) (*request.mutable_labels())[key] = value;
  v1::Job job;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.jobs(), &v1::JobService::Stub::CreateJob, request, &job));
  return job;
}

absl::StatusOr<v1::Job> GetJob(const Session& session, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.jobs(), &v1::JobService::Stub::GetJob, request, &job));
  return job;
}

absl::StatusOr<v1::Artifact> GetArtifact(const Session& session, const std::string& name) {
  v1::GetArtifactRequest request;
  request.set_name(name);
  v1::Artifact artifact;
  NS_RETURN_IF_ERROR(
      CallUnary(session, session.server.artifacts(), &v1::ArtifactService::Stub::GetArtifact, request, &artifact));
  return artifact;
}

namespace {

absl::StatusOr<v1::Artifact> ArtifactOfJob(const Session& session, const std::string& name) {
  NS_ASSIGN_OR_RETURN(const v1::Job job, GetJob(session, name));
  NS_RETURN_IF_ERROR(OutcomeOf(job, session.server.address()));
  return GetArtifact(session, job.result().artifact());
}

}  // namespace

absl::StatusOr<v1::Artifact> FindArtifact(const Session& session, const std::string& name) {
  if (name.rfind("jobs/", 0) == 0) return ArtifactOfJob(session, name);
  auto artifact = GetArtifact(session, QualifiedName("artifacts", name));
  if (artifact.ok() || artifact.status().code() != absl::StatusCode::kNotFound || name.rfind("artifacts/", 0) == 0) {
    return artifact;
  }
  auto of_job = ArtifactOfJob(session, "jobs/" + name);
  if (of_job.status().code() != absl::StatusCode::kNotFound) return of_job;
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", "there is neither an artifact nor a job '" + name + "'",
                   "list them with: nashswarm artifacts list --server " + session.server.address());
}

absl::StatusOr<v1::Job> WatchOrDetach(const Session& session, const std::string& job) {
  auto ended = WatchJob(session, job);
  if (ended.ok() || ExitCodeOf(ended.status()) != kExitInterrupted) return ended;
  return InterruptedError("detached; " + job + " goes on on the server",
                          "come back with: nashswarm jobs watch " + job + " --server " + session.server.address());
}

std::string DescribeJob(const v1::Job& job, bool color) {
  Table table({{""}, {""}});
  table.AddRow({"job", job.name()});
  table.AddRow({"model", job.model()});
  table.AddRow({"state", StateName(job.state()) + (job.cancel_requested() ? " (cancel requested)" : "")});
  table.AddRow({"target", FormatTarget(job.spec()) + ", " + job.spec().artifact_format()});
  table.AddRow({"created", FormatTime(job.create_time())});
  if (job.has_end_time()) table.AddRow({"ended", FormatTime(job.end_time())});
  if (job.state() == v1::Job::RUNNING && job.has_progress()) {
    const auto& progress = job.progress();
    table.AddRow({"stage", StageName(progress.stage()) + ", task " + std::to_string(progress.tasks_done()) + " of " +
                               std::to_string(progress.tasks_total())});
  }
  if (job.has_result()) {
    const auto& result = job.result();
    table.AddRow({"artifact", result.artifact()});
    table.AddRow({"size", FormatBytes(static_cast<double>(result.output_bytes()))});
    table.AddRow({"bits per weight", FormatFixed(result.bits_per_weight(), 4)});
    table.AddRow({"saved", FormatPercent(result.ratio_fp32()) + " of FP32, " + FormatPercent(result.ratio_source()) +
                               " of the checkpoint"});
    table.AddRow({"relative error", FormatError(result.relative_error())});
    if (result.has_quality()) AddQualityRows(result.quality(), &table);
    if (!result.plan_summary().empty()) table.AddRow({"plan", result.plan_summary()});
    for (const auto& warning : result.warnings()) table.AddRow({"warning", warning});
  }
  if (job.has_error()) {
    const absl::Status error = FromProto(job.error());
    table.AddRow({"error", std::string(error.message())});
    if (!HintOf(error).empty()) table.AddRow({"hint", HintOf(error)});
  }
  return table.Render(color);
}

std::string NewRequestId() {
  std::random_device device;
  std::string raw;
  while (raw.size() < 16) raw.push_back(static_cast<char>(device()));
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x40);  // version 4: random (RFC 9562)
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  std::string id = ToHex(raw);
  for (const size_t dash : {8, 13, 18, 23}) id.insert(dash, "-");
  return id;
}

}  // namespace nashswarm::cli
