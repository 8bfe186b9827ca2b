// PUBLISH: header and shards become the weight file; everything that was decided and measured goes into manifest.json and the
// report.
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/build_report.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/files/manifest.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {
namespace {

// In the order of the file: a name there, and all else of the checkpoint's tensor that has it.
std::vector<ManifestTensor> ManifestTensors(const StageInputs& in, const std::vector<AssembledTensor>& tensors, const Plan& plan) {
  const Prepared& prepared = in.prepared;
  const ExpertLayout layout(in.open.model, prepared, plan.expert_order);
  std::vector<ManifestTensor> out;
  for (size_t place = 0; place < tensors.size(); ++place) {
    const size_t t = layout.DataOf(place);
    const PreparedTensor& tensor = prepared.tensors[t];
    ManifestTensor& entry = out.emplace_back();
    entry.name = prepared.tensors[place].name;
    entry.source = tensor.source;
    entry.role = tensor.role;
    entry.format = tensors[t].format;
    entry.rows = tensor.rows;
    entry.row_weights = tensor.row_weights;
    entry.bytes = tensors[t].bytes;
    entry.bits_per_weight = tensors[t].bits_per_weight;
    entry.relative_error = tensors[t].relative_error();
    entry.loss_weight = plan.tensors[t].loss_weight;
    if (place != t) entry.stored_as = in.kind->StoredAs(prepared.tensors[place]);
  }
  return out;
}

JobQuality QualityOf(const Evaluation& evaluation, const calibrate::Calibration& calibration) {
  const evaluate::Agreement& agreement = *evaluation.score.agreement;
  JobQuality quality;
  quality.perplexity = evaluation.score.perplexity;
  quality.source_perplexity = calibration.references.at(0).score.perplexity;
  quality.mean_kl = agreement.mean_kl;
  quality.mean_kl_stderr = agreement.mean_kl_stderr;
  quality.p99_kl = agreement.p99_kl;
  quality.same_top1 = agreement.same_top1;
  quality.tokens = evaluation.score.tokens;
  return quality;
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

}  // namespace

absl::StatusOr<Json> Publish(const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageInputs in, StageInputs::Open(task));
  const Prepared& prepared = in.prepared;
  NS_ASSIGN_OR_RETURN(const Plan plan, ReadPlanToEncode(task.in_dir, prepared));

  const std::string artifact_dir = JoinPath(task.out_dir, "artifact");
  NS_RETURN_IF_ERROR(MakeDirectories(artifact_dir));
  NS_ASSIGN_OR_RETURN(const Assembled assembled,
                      AssembleWeights(task, in, plan, artifact_dir,
                                      [&](uint64_t bytes) { task.observer->Progress(bytes, plan.file_bytes, ""); }));
  NS_RETURN_IF_ERROR(in.kind->Verify(task, in.open, artifact_dir));
  std::optional<Evaluation> evaluation;
  if (task.spec.evaluates()) {
    NS_ASSIGN_OR_RETURN(evaluation, Evaluation::Read(task.in_dir));
    if (evaluation->sha256 != ToHex(assembled.file.sha256)) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_CHANGED",
                       absl::StrCat(assembled.file_name, " is not the file that was evaluated"), "run the job again");
    }
  }

  const double bytes = static_cast<double>(assembled.file.bytes), parameters = static_cast<double>(prepared.parameters);
  Manifest manifest;
  JobResult& result = manifest.result;
  result.output_bytes = assembled.file.bytes;
  result.bits_per_weight = 8 * bytes / parameters;
  result.ratio_fp32 = 1 - bytes / (4 * parameters);
  result.ratio_source = 1 - bytes / static_cast<double>(prepared.source_weight_bytes);
  result.relative_error = RelativeError(prepared, assembled.tensors);
  result.parameters = prepared.parameters;
  result.warnings = Warnings(prepared, in.calibrated.calibration);
  result.plan_summary = plan.summary;
  if (evaluation) result.quality = QualityOf(*evaluation, in.calibrated.calibration);
  NS_RETURN_IF_ERROR(in.kind->AddCompanions(task, result.bits_per_weight, plan.expert_order, artifact_dir));
  manifest.source = {prepared.model_name, task.source_digest, prepared.source_weight_bytes, prepared.architecture, prepared.parameters};
  manifest.artifact = {assembled.file_name, assembled.file.bytes, ToHex(assembled.file.sha256)};
  manifest.plan = plan;  // what there is one of a tensor is below; frontier, trials and search are in the report
  manifest.tensors = ManifestTensors(in, assembled.tensors, plan);
  NS_RETURN_IF_ERROR(manifest.Write(artifact_dir));

  const report::Report report = BuildReport({task, in, plan, evaluation, assembled, result});
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kJsonFile), report::ToJson(report).dump(1) + "\n"));
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, report::kHtmlFile), report::ToHtml(report)));
  return ToSortedJson(result);
}

}  // namespace nashswarm::pipeline
