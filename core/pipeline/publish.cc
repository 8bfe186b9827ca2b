// PUBLISH: header and shards become the weight file; everything that was decided and measured goes into manifest.json and the
// report.
#include "core/artifact/gguf_artifact.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/build_report.h"
#include "core/pipeline/evaluation.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {
namespace {

// In the order of the file: a name there, and all else of the checkpoint's tensor that has it.
Json ManifestTensors(const Prepared& prepared, const std::vector<AssembledTensor>& tensors, const Json& plan,
                     const ExpertLayout& layout) {
  Json out = Json::array();
  for (size_t place = 0; place < tensors.size(); ++place) {
    const size_t t = layout.DataOf(place);
    const PreparedTensor& tensor = prepared.tensors[t];
    out.push_back({{"name", prepared.tensors[place].name},
                   {"source", tensor.source},
                   {"role", tensor.role},
                   {"format", tensors[t].format},
                   {"rows", tensor.rows},
                   {"row_weights", tensor.row_weights},
                   {"bytes", tensors[t].bytes},
                   {"bits_per_weight", tensors[t].bits_per_weight},
                   {"relative_error", tensors[t].relative_error()},
                   {"loss_weight", plan.at("tensors").at(t).at("loss_weight")}});
    // An nsq file has the checkpoint's names: here that of another expert.
    if (place != t && prepared.format == "nsq") out.back()["stored_as"] = prepared.tensors[place].source;
  }
  return out;
}

std::vector<std::string> Warnings(const Prepared& prepared, const calibrate::Calibration& calibration) {
  std::vector<std::string> warnings = prepared.warnings;
  if (const std::string unused = calibrate::UnusedExperts(calibration); !unused.empty()) warnings.push_back(unused);
  return warnings;
}

// Over the matrices; vectors are exact, or as good as.
double RelativeError(const Prepared& prepared, const std::vector<AssembledTensor>& tensors) {
  AssembledTensor total;
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (prepared.tensors[t].vector) continue;
    total.error += tensors[t].error;
    total.energy += tensors[t].energy;
  }
  return total.relative_error();
}

// The file itself, as any reader opens it. PREPARE has told what is foreseen.
absl::Status CheckArtifactTokenizer(const Task& task, const OpenModel& open, const std::string& directory) {
  if (task.spec.is_nsq()) return absl::OkStatus();  // carries the tokenizer's own files
  NS_ASSIGN_OR_RETURN(const GgufHead head, MakeGgufHead(open, HeadOptionsOf(task.spec)));
  NS_ASSIGN_OR_RETURN(const artifact::OpenGguf written, artifact::Open(directory));
  std::vector<std::string> told;
  return CheckTokenizer(head, written.gguf, HeadOptionsOf(task.spec), task.sample_path(), &told);
}

}  // namespace

absl::StatusOr<Json> Publish(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const Json plan, ReadPlan(task.in_dir));
  NS_ASSIGN_OR_RETURN(const Calibrated calibrated, ReadCalibrated(task));

  const std::string artifact_dir = JoinPath(task.out_dir, "artifact");
  NS_RETURN_IF_ERROR(MakeDirectories(artifact_dir));
  const uint64_t planned = plan.at("file_bytes");
  NS_ASSIGN_OR_RETURN(const Assembled assembled,
                      AssembleWeights(task, prepared, open, plan, artifact_dir,
                                      [&](uint64_t bytes) { task.observer->Progress(bytes, planned, ""); }));
  NS_RETURN_IF_ERROR(CheckArtifactTokenizer(task, open, artifact_dir));
  std::optional<Evaluation> evaluation;
  if (task.spec.evaluates()) {
    NS_ASSIGN_OR_RETURN(evaluation, ReadEvaluation(task.in_dir));
    if (evaluation->sha256 != ToHex(assembled.file.sha256)) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_CHANGED",
                       absl::StrCat(assembled.file_name, " is not the file that was evaluated"), "run the job again");
    }
  }

  const double bytes = static_cast<double>(assembled.file.bytes), parameters = static_cast<double>(prepared.parameters);
  Json summary = {{"output_bytes", assembled.file.bytes},
                  {"bits_per_weight", 8 * bytes / parameters},
                  {"ratio_fp32", 1 - bytes / (4 * parameters)},
                  {"ratio_source", 1 - bytes / static_cast<double>(prepared.source_weight_bytes)},
                  {"relative_error", RelativeError(prepared, assembled.tensors)},
                  {"parameters", prepared.parameters},
                  {"warnings", Warnings(prepared, calibrated.calibration)},
                  {"plan_summary", plan.at("summary")}};
  if (evaluation) summary["quality"] = QualityJson(*evaluation, calibrated.calibration);
  const artifact::ExpertOrders orders = OrdersIn(plan);
  if (task.spec.is_nsq()) {
    NS_RETURN_IF_ERROR(artifact::CopyCompanions(task.model_dir, summary.at("bits_per_weight"), orders, artifact_dir));
  }
  Json plan_summary = plan;
  for (const char* detail : {"tensors", "frontier", "trials", "search"}) plan_summary.erase(detail);  // the first below, the others in the report
  OrderedJson manifest = {
      {"schema", artifact::kManifestSchema},
      {"engine", "nashswarm " NASHSWARM_VERSION},
      {"source", {{"name", prepared.model_name}, {"digest", task.source_digest}, {"weight_bytes", prepared.source_weight_bytes},
                  {"architecture", prepared.architecture}, {"parameters", prepared.parameters}}},
      {"artifact", {{"file", assembled.file_name}, {"bytes", assembled.file.bytes}, {"sha256", ToHex(assembled.file.sha256)}}},
      {"result", summary},
      {"plan", plan_summary},
      {"tensors", ManifestTensors(prepared, assembled.tensors, plan, ExpertLayout(open.model, prepared, orders))}};
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, artifact::kManifestFile), manifest.dump(1) + "\n"));

  const report::Report report = BuildReport({task, prepared, open, plan, calibrated.calibration, evaluation, assembled, summary});
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kJsonFile), report::ToJson(report).dump(1) + "\n"));
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kHtmlFile), report::ToHtml(report)));
  return summary;
}

}  // namespace nashswarm::pipeline
