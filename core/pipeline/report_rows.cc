#include "core/pipeline/report_rows.h"

#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/preset_run.h"

namespace nashswarm::pipeline {
namespace {

report::Quality QualityOf(const evaluate::Score& score, double checkpoint_perplexity) {
  report::Quality quality;
  quality.perplexity = score.perplexity;
  quality.perplexity_change = score.perplexity / checkpoint_perplexity - 1;
  quality.tokens = score.tokens;
  if (score.agreement) {
    // The perplexity is an exponential: an error of its logarithm is an error of the share, to first order.
    quality.perplexity_change_stderr = (1 + quality.perplexity_change) * score.agreement->mean_nll_change_stderr;
    quality.mean_kl = score.agreement->mean_kl;
    quality.mean_kl_stderr = score.agreement->mean_kl_stderr;
    quality.p99_kl = score.agreement->p99_kl;
    quality.same_top1 = score.agreement->same_top1;
  }
  return quality;
}

report::Row RowOf(std::string name, uint64_t bytes, const Prepared& prepared) {
  const double size = static_cast<double>(bytes), parameters = static_cast<double>(prepared.parameters);
  report::Row row;
  row.name = std::move(name);
  row.bytes = bytes;
  row.bits_per_weight = 8 * size / parameters;
  row.ratio_fp32 = 1 - size / (4 * parameters);
  row.ratio_source = 1 - size / static_cast<double>(prepared.source_weight_bytes);
  return row;
}

report::Row PresetRow(const std::string& name, uint64_t bytes, bool weighted, const Prepared& prepared) {
  report::Row row = RowOf(absl::StrCat("llama.cpp ", name), bytes, prepared);
  row.note = weighted ? "its types, our encoders, importance matrix" : "its types, our encoders";
  return row;
}

// Of a plan whose losses are no measured ones.
std::optional<report::Row> PredictedPreset(const ReportInputs& inputs) {
  if (!inputs.in.kind->plays_presets() || !inputs.in.calibrated.calibration.loss_weights.empty()) return std::nullopt;
  const absl::StatusOr<Players> players = ReadPlayers(inputs.in, inputs.task.in_dir);
  if (!players.ok()) return std::nullopt;
  const LlamaPreset preset = NearestPreset(LlamaPresets(inputs.in.open), inputs.assembled.file.bytes);
  const std::optional<double> loss = PredictedLoss(preset, *players);
  if (!loss) return std::nullopt;
  report::Row row = PresetRow(preset.name, preset.bytes, inputs.task.spec.calibrates_encoders(), inputs.in.prepared);
  row.predicted_loss = loss;
  return row;
}

}  // namespace

std::vector<report::Row> HeadlineRows(const ReportInputs& inputs) {
  std::vector<report::Row> rows;
  double perplexity = 0;
  for (const calibrate::Reference& reference : inputs.in.calibrated.calibration.references) {
    if (rows.empty()) perplexity = reference.score.perplexity;  // the checkpoint is the first
    rows.push_back(RowOf(reference.name, reference.bytes, inputs.in.prepared));
    rows.back().quality = QualityOf(reference.score, perplexity);
  }
  if (rows.empty()) rows.push_back(RowOf("checkpoint", inputs.in.prepared.source_weight_bytes, inputs.in.prepared));
  report::Row ours = RowOf("nashswarm", inputs.assembled.file.bytes, inputs.in.prepared);
  ours.is_artifact = true;
  if (inputs.evaluation) {
    ours.quality = QualityOf(inputs.evaluation->score, perplexity);
    if (const std::optional<PresetScore>& preset = inputs.evaluation->preset) {
      rows.push_back(PresetRow(preset->name, preset->bytes, preset->weighted, inputs.in.prepared));
      rows.back().quality = QualityOf(preset->score, perplexity);
    }
  } else if (const std::optional<report::Row> preset = PredictedPreset(inputs)) {
    rows.push_back(*preset);
    ours.predicted_loss = inputs.plan.loss;
  }
  rows.push_back(std::move(ours));
  return rows;
}

}  // namespace nashswarm::pipeline
