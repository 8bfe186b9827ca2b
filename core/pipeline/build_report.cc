#include "core/pipeline/build_report.h"

#include <algorithm>
#include <map>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/forward/model_config.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/report_rows.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {
namespace {

// A context that people run, where the model has more.
constexpr uint64_t kMemoryContext = 4096;

int LayerOf(const model::Model& model, const std::string& name) {
  for (const model::MappedTensor& tensor : model.tensors) {
    if (tensor.name == name) return tensor.layer;
  }
  return -1;
}

std::vector<report::TensorRow> Tensors(const ReportInputs& inputs) {
  std::vector<report::TensorRow> rows;
  for (size_t t = 0; t < inputs.prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = inputs.prepared.tensors[t];
    const Json& planned = inputs.plan.at("tensors").at(t);
    report::TensorRow row;
    row.name = tensor.source;
    row.role = tensor.role;
    row.layer = LayerOf(inputs.open.model, tensor.name);
    row.weights = tensor.weights();
    row.format = inputs.assembled.tensors[t].format;
    row.bits_per_weight = inputs.assembled.tensors[t].bits_per_weight;
    row.relative_error = inputs.assembled.tensors[t].relative_error();
    row.predicted_loss = planned.at("loss_weight").get<double>() * planned.at("distortion").get<double>();
    row.vector = tensor.vector;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<report::StageCost> Costs(const Json& history) {
  std::vector<report::StageCost> costs;
  for (const Json& task : history) {
    const std::string stage = JsonString(task, "stage");
    if (costs.empty() || costs.back().stage != stage) costs.push_back({stage, 0, 0, 0});
    const Json result = task.value("result", Json::object());
    report::StageCost& cost = costs.back();
    ++cost.tasks;
    cost.seconds += JsonDouble(result, "seconds", 0);
    cost.peak_bytes = std::max(cost.peak_bytes, static_cast<uint64_t>(std::max<int64_t>(JsonInt(result, "peak_bytes", 0), 0)));
  }
  return costs;
}

std::optional<report::SearchReport> SearchOf(const Json& plan, const Prepared& prepared) {
  if (!plan.contains("search")) return std::nullopt;
  const Json& search = plan.at("search");
  report::SearchReport out;
  out.text = search.at("text");
  out.tokens = search.at("tokens");
  for (const Json& step : search.at("trace")) {
    report::SearchStep& row = out.trace.emplace_back();
    row = {step.at("round"), step.at("step"), step.at("plans"), std::nullopt, step.at("mean_kl"), step.at("kept")};
    if (step.contains("tried_kl")) row.tried_kl = step.at("tried_kl").get<double>();
  }
  for (const Json& variant : search.at("ablation")) {
    const uint64_t bytes = variant.at("bytes");
    out.ablation.push_back({variant.at("name"), bytes, 8 * static_cast<double>(bytes) / static_cast<double>(prepared.parameters),
                            variant.at("mean_kl")});
  }
  return out;
}

// How much of the calibration text each expert saw, and the bits it got.
std::optional<report::ExpertsReport> Experts(const ReportInputs& inputs) {
  const auto& by_layer = inputs.calibration.expert_tokens;
  if (by_layer.empty()) return std::nullopt;
  report::ExpertsReport experts;
  for (size_t layer = 0; layer < by_layer.size(); ++layer) {
    experts.layers.push_back({static_cast<int>(layer), by_layer[layer], std::vector<double>(by_layer[layer].size()), {}});
  }
  const artifact::ExpertOrders orders = OrdersIn(inputs.plan);
  for (size_t layer = 0; layer < orders.size(); ++layer) {
    experts.layers.at(layer).order.assign(orders[layer].begin(), orders[layer].end());
  }
  std::map<std::string, size_t> places;
  for (size_t t = 0; t < inputs.prepared.tensors.size(); ++t) places[inputs.prepared.tensors[t].name] = t;
  std::vector<std::vector<double>> weights(by_layer.size());
  for (size_t layer = 0; layer < by_layer.size(); ++layer) weights[layer].resize(by_layer[layer].size());
  for (const model::MappedTensor& tensor : inputs.open.model.tensors) {
    const auto place = places.find(tensor.name);
    if (tensor.expert < 0 || place == places.end()) continue;
    const auto layer = static_cast<size_t>(tensor.layer), expert = static_cast<size_t>(tensor.expert);
    const double count = static_cast<double>(inputs.prepared.tensors[place->second].weights());
    experts.layers.at(layer).bits.at(expert) += count * inputs.assembled.tensors[place->second].bits_per_weight;
    weights[layer][expert] += count;
    experts.used = static_cast<int>(std::lrint(tensor.token_share * static_cast<double>(by_layer[layer].size())));
  }
  for (size_t layer = 0; layer < by_layer.size(); ++layer) {
    for (size_t e = 0; e < by_layer[layer].size(); ++e) experts.layers[layer].bits[e] /= std::max(1.0, weights[layer][e]);
  }
  return experts;
}

std::optional<report::Memory> MemoryOf(const ReportInputs& inputs) {
  const std::unique_ptr<forward::Weights> weights = forward::WeightsOf(*inputs.open.checkpoint, inputs.open.model);
  const absl::StatusOr<forward::ModelConfig> config = forward::ReadModelConfig(*weights);
  if (!config.ok()) return std::nullopt;
  report::Memory memory;
  memory.weight_bytes = inputs.task.spec.is_nsq() ? inputs.prepared.source_weight_bytes : inputs.assembled.file.bytes;
  memory.context = std::min(config->context, kMemoryContext);
  memory.cache_bytes = memory.context * config->layers * 2 * config->attention.kv_width() * sizeof(uint16_t);
  return memory;
}

}  // namespace

report::Report BuildReport(const ReportInputs& inputs) {
  const Json& plan = inputs.plan;
  const double parameters = static_cast<double>(inputs.prepared.parameters);
  const auto bits = [parameters](uint64_t bytes) { return 8 * static_cast<double>(bytes) / parameters; };
  report::Report report;
  report.engine = "nashswarm " NASHSWARM_VERSION;
  report.made = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  report.cpu = CpuName();
  report.command = inputs.task.spec.CommandLine();
  report.model_name = inputs.prepared.model_name;
  report.architecture = inputs.prepared.architecture;
  report.source_digest = inputs.task.source_digest;
  report.parameters = inputs.prepared.parameters;
  report.target = inputs.task.spec.TargetText();
  report.plan_summary = plan.at("summary");
  report.headline = HeadlineRows(inputs);
  report.loss_is_kl = !inputs.calibration.loss_weights.empty();
  report.chosen_bytes = inputs.assembled.file.bytes;
  report.chosen_predicted_loss = plan.at("loss");
  for (const Json& point : plan.at("frontier")) {
    report.frontier.push_back({point.at("bytes"), bits(point.at("bytes")), point.at("loss")});
  }
  for (const Json& trial : plan.at("trials")) {
    report.trials.push_back({trial.at("bytes"), bits(trial.at("bytes")), trial.at("predicted_loss"), trial.at("mean_kl"),
                             trial.at("perplexity"), trial.at("perplexity_change"), trial.at("passed")});
  }
  report.search = SearchOf(plan, inputs.prepared);
  for (const Json& step : plan.at("path")) {
    report.price_path.push_back({step.at("price"), step.at("bytes"), step.at("loss")});
  }
  report.tensors = Tensors(inputs);
  report.plan_in_words = report::PlanInWords(report.tensors);
  report.artifact = report::ArtifactFile{inputs.assembled.file_name, inputs.assembled.file.bytes, ToHex(inputs.assembled.file.sha256)};
  report.memory = MemoryOf(inputs);
  for (const calibrate::TextUsed& text : inputs.calibration.texts) {
    report.texts.push_back({text.purpose, text.source, text.sha256, text.bytes, text.tokens, text.context, text.note});
  }
  report.costs = Costs(inputs.task.history);
  report.warnings = inputs.summary.at("warnings").get<std::vector<std::string>>();
  report.experts = Experts(inputs);
  return report;
}

}  // namespace nashswarm::pipeline
