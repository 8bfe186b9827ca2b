#include "core/pipeline/build_report.h"

#include <algorithm>
#include <map>

#include "core/base/file.h"
#include "core/pipeline/expert_layout.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {
namespace {

report::Quality QualityOf(const evaluate::Score& score, double checkpoint_perplexity) {
  report::Quality quality;
  quality.perplexity = score.perplexity;
  quality.perplexity_change = score.perplexity / checkpoint_perplexity - 1;
  quality.tokens = score.tokens;
  if (score.agreement) {
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

std::vector<report::Row> Headline(const ReportInputs& inputs) {
  std::vector<report::Row> rows;
  double perplexity = 0;
  for (const calibrate::Reference& reference : inputs.calibration.references) {
    if (rows.empty()) perplexity = reference.score.perplexity;  // the checkpoint is the first
    rows.push_back(RowOf(reference.name, reference.bytes, inputs.prepared));
    rows.back().quality = QualityOf(reference.score, perplexity);
  }
  if (rows.empty()) rows.push_back(RowOf("checkpoint", inputs.prepared.source_weight_bytes, inputs.prepared));
  rows.push_back(RowOf("nashswarm", inputs.assembled.file.bytes, inputs.prepared));
  rows.back().is_artifact = true;
  if (inputs.evaluation) rows.back().quality = QualityOf(inputs.evaluation->score, perplexity);
  return rows;
}

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

std::string ModelName(const ReportInputs& inputs) {
  const std::string name = BaseName(JsonString(inputs.open.checkpoint->config(), "_name_or_path"));
  return name.empty() ? inputs.prepared.architecture : name;
}

}  // namespace

report::Report BuildReport(const ReportInputs& inputs) {
  const Json& plan = inputs.plan;
  const double parameters = static_cast<double>(inputs.prepared.parameters);
  const auto bits = [parameters](uint64_t bytes) { return 8 * static_cast<double>(bytes) / parameters; };
  report::Report report;
  report.engine = "nashswarm " NASHSWARM_VERSION;
  report.model_name = ModelName(inputs);
  report.architecture = inputs.prepared.architecture;
  report.source_digest = inputs.task.source_digest;
  report.parameters = inputs.prepared.parameters;
  report.target = inputs.task.spec.TargetText();
  report.plan_summary = plan.at("summary");
  report.headline = Headline(inputs);
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
  for (const calibrate::TextUsed& text : inputs.calibration.texts) {
    report.texts.push_back({text.purpose, text.source, text.sha256, text.bytes, text.tokens, text.context, text.note});
  }
  report.costs = Costs(inputs.task.history);
  report.warnings = inputs.summary.at("warnings").get<std::vector<std::string>>();
  report.experts = Experts(inputs);
  return report;
}

}  // namespace nashswarm::pipeline
