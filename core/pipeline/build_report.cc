#include "core/pipeline/build_report.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/forward/model_config.h"
#include "core/pipeline/files/history.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/report_rows.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {
namespace {

// A context that people run, where the model has more.
constexpr uint64_t kMemoryContext = 4096;

std::vector<report::TensorRow> Tensors(const ReportInputs& inputs) {
  std::vector<report::TensorRow> rows;
  for (size_t t = 0; t < inputs.in.prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = inputs.in.prepared.tensors[t];
    const PlannedTensor& planned = inputs.plan.tensors[t];
    report::TensorRow row;
    row.name = tensor.source;
    row.role = tensor.role;
    row.layer = inputs.in.source(t).layer;
    row.weights = tensor.weights();
    row.format = inputs.assembled.tensors[t].format;
    row.bits_per_weight = inputs.assembled.tensors[t].bits_per_weight;
    row.relative_error = inputs.assembled.tensors[t].relative_error();
    row.predicted_loss = planned.loss_weight * planned.distortion;
    row.vector = tensor.vector;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<report::SearchReport> SearchOf(const Plan& plan, const Prepared& prepared) {
  if (!plan.search) return std::nullopt;
  report::SearchReport out{plan.search->text, plan.search->tokens, plan.search->trace, {}};
  for (const Ablation& variant : plan.search->ablation) {
    out.ablation.push_back({variant.name, variant.bytes, 8 * static_cast<double>(variant.bytes) / static_cast<double>(prepared.parameters),
                            variant.mean_kl});
  }
  return out;
}

// How much of the calibration text each expert saw, and the bits it got.
std::optional<report::ExpertsReport> Experts(const ReportInputs& inputs) {
  const auto& by_layer = inputs.in.calibrated.calibration.expert_tokens;
  if (by_layer.empty()) return std::nullopt;
  report::ExpertsReport experts;
  for (size_t layer = 0; layer < by_layer.size(); ++layer) {
    experts.layers.push_back({static_cast<int>(layer), by_layer[layer], std::vector<double>(by_layer[layer].size()), {}});
  }
  const artifact::ExpertOrders& orders = inputs.plan.expert_order;
  for (size_t layer = 0; layer < orders.size(); ++layer) {
    experts.layers.at(layer).order.assign(orders[layer].begin(), orders[layer].end());
  }
  std::vector<std::vector<double>> weights(by_layer.size());
  for (size_t layer = 0; layer < by_layer.size(); ++layer) weights[layer].resize(by_layer[layer].size());
  for (size_t t = 0; t < inputs.in.prepared.tensors.size(); ++t) {
    const model::MappedTensor& tensor = inputs.in.source(t);
    if (tensor.expert < 0) continue;
    const auto layer = static_cast<size_t>(tensor.layer), expert = static_cast<size_t>(tensor.expert);
    const double count = static_cast<double>(inputs.in.prepared.tensors[t].weights());
    experts.layers.at(layer).bits.at(expert) += count * inputs.assembled.tensors[t].bits_per_weight;
    weights[layer][expert] += count;
    experts.used = static_cast<int>(std::lrint(tensor.token_share * static_cast<double>(by_layer[layer].size())));
  }
  for (size_t layer = 0; layer < by_layer.size(); ++layer) {
    for (size_t e = 0; e < by_layer[layer].size(); ++e) experts.layers[layer].bits[e] /= std::max(1.0, weights[layer][e]);
  }
  return experts;
}

std::optional<report::Memory> MemoryOf(const ReportInputs& inputs) {
  const std::unique_ptr<forward::Weights> weights = forward::WeightsOf(*inputs.in.open.checkpoint, inputs.in.open.model);
  const absl::StatusOr<forward::ModelConfig> config = forward::ReadModelConfig(*weights);
  if (!config.ok()) return std::nullopt;
  report::Memory memory;
  memory.weight_bytes = inputs.in.kind->LoadedBytes(inputs.in.prepared, inputs.assembled.file.bytes);
  memory.context = std::min(config->context, kMemoryContext);
  memory.cache_bytes = memory.context * config->layers * 2 * config->attention.kv_width() * sizeof(uint16_t);
  return memory;
}

}  // namespace

report::Report BuildReport(const ReportInputs& inputs) {
  const Plan& plan = inputs.plan;
  const double parameters = static_cast<double>(inputs.in.prepared.parameters);
  const auto bits = [parameters](uint64_t bytes) { return 8 * static_cast<double>(bytes) / parameters; };
  report::Report report;
  report.engine = "nashswarm " NASHSWARM_VERSION;
  report.made = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  report.cpu = CpuName();
  report.command = inputs.task.spec.CommandLine();
  report.model_name = inputs.in.prepared.model_name;
  report.architecture = inputs.in.prepared.architecture;
  report.source_digest = inputs.task.source_digest;
  report.parameters = inputs.in.prepared.parameters;
  report.target = inputs.task.spec.TargetText();
  report.plan_summary = plan.summary;
  report.headline = HeadlineRows(inputs);
  report.loss_is_kl = !inputs.in.calibrated.calibration.loss_weights.empty();
  report.chosen_bytes = inputs.assembled.file.bytes;
  report.chosen_predicted_loss = plan.loss;
  for (const FrontierPoint& point : plan.frontier) report.frontier.push_back({point.bytes, bits(point.bytes), point.loss});
  for (const Trial& trial : plan.trials) {
    report.trials.push_back({trial.bytes, bits(trial.bytes), trial.predicted_loss, trial.mean_kl, trial.perplexity,
                             trial.perplexity_change, trial.passed});
  }
  report.search = SearchOf(plan, inputs.in.prepared);
  for (const PlanStep& step : plan.path) report.price_path.push_back({step.price, step.bytes, step.loss});
  report.tensors = Tensors(inputs);
  report.plan_in_words = report::PlanInWords(report.tensors);
  report.artifact = report::ArtifactFile{inputs.assembled.file_name, inputs.assembled.file.bytes, ToHex(inputs.assembled.file.sha256)};
  report.memory = MemoryOf(inputs);
  for (const calibrate::TextUsed& text : inputs.in.calibrated.calibration.texts) {
    report.texts.push_back({text.purpose, text.source, text.sha256, text.bytes, text.tokens, text.context, text.note});
  }
  report.costs = CostsIn(inputs.task.history);
  report.warnings = inputs.result.warnings;
  report.experts = Experts(inputs);
  return report;
}

}  // namespace nashswarm::pipeline
