// PUBLISH: header and shards become model.gguf; everything that was decided and measured goes into manifest.json and the
// report.
#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/build_report.h"
#include "core/pipeline/evaluation.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {
namespace {

Json ManifestTensors(const Prepared& prepared, const std::vector<checkpoint::GgufTensor>& tensors, const Json& plan,
                     const std::vector<MeasuredError>& measured) {
  Json out = Json::array();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    out.push_back({{"name", tensor.name},
                   {"source", tensor.source},
                   {"role", tensor.role},
                   {"format", quant::InfoOf(tensors[t].format).name},
                   {"rows", tensor.rows},
                   {"row_weights", tensor.row_weights},
                   {"bytes", tensors[t].bytes},
                   {"bits_per_weight", quant::InfoOf(tensors[t].format).bits_per_weight()},
                   {"relative_error", measured[t].relative()},
                   {"loss_weight", plan.at("tensors").at(t).at("loss_weight")}});
  }
  return out;
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
                      AssembleGguf(task, prepared, open, plan, JoinPath(artifact_dir, artifact::kGgufFile),
                                   [&](uint64_t bytes) { task.observer->Progress(bytes, planned, ""); }));
  std::optional<Evaluation> evaluation;
  if (task.spec.evaluates()) {
    NS_ASSIGN_OR_RETURN(evaluation, ReadEvaluation(task.in_dir));
    if (evaluation->sha256 != ToHex(assembled.file.sha256)) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_CHANGED",
                       "model.gguf is not the file that was evaluated", "run the job again");
    }
  }

  MeasuredError total;  // over the matrices; vectors are exact
  for (size_t t = 0; t < assembled.tensors.size(); ++t) {
    if (prepared.tensors[t].vector) continue;
    total.error += assembled.errors[t].error;
    total.energy += assembled.errors[t].energy;
  }
  const double bytes = static_cast<double>(assembled.file.bytes), parameters = static_cast<double>(prepared.parameters);
  Json summary = {{"output_bytes", assembled.file.bytes},
                  {"bits_per_weight", 8 * bytes / parameters},
                  {"ratio_fp32", 1 - bytes / (4 * parameters)},
                  {"ratio_source", 1 - bytes / static_cast<double>(prepared.source_weight_bytes)},
                  {"relative_error", total.relative()},
                  {"parameters", prepared.parameters},
                  {"warnings", prepared.warnings},
                  {"plan_summary", plan.at("summary")}};
  if (evaluation) summary["quality"] = QualityJson(*evaluation, calibrated.calibration);
  Json plan_summary = plan;
  for (const char* detail : {"tensors", "frontier", "trials"}) plan_summary.erase(detail);  // the first below, the others in the report
  OrderedJson manifest = {
      {"schema", artifact::kManifestSchema},
      {"engine", "nashswarm " NASHSWARM_VERSION},
      {"source", {{"digest", task.source_digest}, {"weight_bytes", prepared.source_weight_bytes},
                  {"architecture", prepared.architecture}, {"parameters", prepared.parameters}}},
      {"artifact", {{"file", artifact::kGgufFile}, {"bytes", assembled.file.bytes}, {"sha256", ToHex(assembled.file.sha256)}}},
      {"result", summary},
      {"plan", plan_summary},
      {"tensors", ManifestTensors(prepared, assembled.tensors, plan, assembled.errors)}};
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, artifact::kManifestFile), manifest.dump(1) + "\n"));

  const report::Report report = BuildReport({task, prepared, open, plan, calibrated.calibration, evaluation, assembled, summary});
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kJsonFile), report::ToJson(report).dump(1) + "\n"));
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kHtmlFile), report::ToHtml(report)));
  return summary;
}

}  // namespace nashswarm::pipeline
