// The fields of a report's structures, once: for report.json, and for files that hold the same data.
#ifndef NASHSWARM_CORE_REPORT_REPORT_FIELDS_H_
#define NASHSWARM_CORE_REPORT_REPORT_FIELDS_H_

#include "core/base/json_fields.h"
#include "core/report/report.h"

namespace nashswarm::report {

template <typename V, MaybeConst<Quality> T>
void Fields(V& v, T& quality) {
  v("perplexity", quality.perplexity);
  v("perplexity_change", quality.perplexity_change);
  v.If(quality.perplexity_change_stderr > 0, "perplexity_change_stderr", quality.perplexity_change_stderr);
  v("mean_kl", quality.mean_kl);
  v("mean_kl_stderr", quality.mean_kl_stderr);
  v("p99_kl", quality.p99_kl);
  v("same_top1", quality.same_top1);
  v("tokens", quality.tokens);
}

template <typename V, MaybeConst<Row> T>
void Fields(V& v, T& row) {
  v("name", row.name);
  v.If(!row.note.empty(), "note", row.note);
  v("is_artifact", row.is_artifact);
  v("bytes", row.bytes);
  v("bits_per_weight", row.bits_per_weight);
  v("ratio_fp32", row.ratio_fp32);
  v("ratio_source", row.ratio_source);
  v("predicted_loss", row.predicted_loss);
  v("quality", row.quality);
}

template <typename V, MaybeConst<TensorRow> T>
void Fields(V& v, T& tensor) {
  v("name", tensor.name);
  v("role", tensor.role);
  v("layer", tensor.layer);
  v("weights", tensor.weights);
  v("format", tensor.format);
  v("bits_per_weight", tensor.bits_per_weight);
  v("relative_error", tensor.relative_error);
  v("predicted_loss", tensor.predicted_loss);
  v("vector", tensor.vector);
}

template <typename V, MaybeConst<FrontierPoint> T>
void Fields(V& v, T& point) {
  v("bytes", point.bytes);
  v("bits_per_weight", point.bits_per_weight);
  v("predicted_loss", point.predicted_loss);
}

template <typename V, MaybeConst<Trial> T>
void Fields(V& v, T& trial) {
  v("bytes", trial.bytes);
  v("bits_per_weight", trial.bits_per_weight);
  v("predicted_loss", trial.predicted_loss);
  v("mean_kl", trial.mean_kl);
  v("perplexity", trial.perplexity);
  v("perplexity_change", trial.perplexity_change);
  v("passed", trial.passed);
}

template <typename V, MaybeConst<SearchStep> T>
void Fields(V& v, T& step) {
  v("round", step.round);
  v("step", step.step);
  v("plans", step.plans);
  v("tried_kl", step.tried_kl);
  v("mean_kl", step.mean_kl);
  v("kept", step.kept);
}

template <typename V, MaybeConst<SearchVariant> T>
void Fields(V& v, T& variant) {
  v("name", variant.name);
  v("bytes", variant.bytes);
  v("bits_per_weight", variant.bits_per_weight);
  v("mean_kl", variant.mean_kl);
}

template <typename V, MaybeConst<SearchReport> T>
void Fields(V& v, T& search) {
  v("text", search.text);
  v("tokens", search.tokens);
  v("trace", search.trace);
  v("ablation", search.ablation);
}

template <typename V, MaybeConst<ExpertLayer> T>
void Fields(V& v, T& layer) {
  v("layer", layer.layer);
  v("tokens", layer.tokens);
  v("bits_per_weight", layer.bits);
  v.If(!layer.order.empty(), "order", layer.order);
}

template <typename V, MaybeConst<ExpertsReport> T>
void Fields(V& v, T& experts) {
  v("used", experts.used);
  v("layers", experts.layers);
}

template <typename V, MaybeConst<PriceStep> T>
void Fields(V& v, T& step) {
  v("price", step.price);
  v("bytes", step.bytes);
  v("loss", step.loss);
}

template <typename V, MaybeConst<TextUsed> T>
void Fields(V& v, T& text) {
  v("purpose", text.purpose);
  v("source", text.source);
  v("sha256", text.sha256);
  v.Known("bytes", text.bytes);
  v.Known("tokens", text.tokens);
  v.Known("context", text.context);
  v("note", text.note);
}

template <typename V, MaybeConst<StageCost> T>
void Fields(V& v, T& cost) {
  v("stage", cost.stage);
  v("tasks", cost.tasks);
  v("seconds", cost.seconds);
  v.Known("peak_bytes", cost.peak_bytes);
}

template <typename V, MaybeConst<ArtifactFile> T>
void Fields(V& v, T& file) {
  v("name", file.name);
  v("bytes", file.bytes);
  v("sha256", file.sha256);
}

template <typename V, MaybeConst<Memory> T>
void Fields(V& v, T& memory) {
  v("weight_bytes", memory.weight_bytes);
  v("cache_bytes", memory.cache_bytes);
  v("context", memory.context);
}

template <typename V, MaybeConst<Report> T>
void Fields(V& v, T& report) {
  v("engine", report.engine);
  v.If(!report.made.empty(), "made", report.made);
  v.If(!report.cpu.empty(), "cpu", report.cpu);
  v.If(!report.command.empty(), "command", report.command);
  v("model_name", report.model_name);
  v("architecture", report.architecture);
  v("source_digest", report.source_digest);
  v("parameters", report.parameters);
  v("target", report.target);
  v("plan_summary", report.plan_summary);
  v.If(!report.plan_in_words.empty(), "plan_in_words", report.plan_in_words);
  v("artifact", report.artifact);
  v("memory", report.memory);
  v("headline", report.headline);
  v("loss_is_kl", report.loss_is_kl);
  v.Known("chosen_bytes", report.chosen_bytes);
  v.If(report.chosen_bytes > 0, "chosen_predicted_loss", report.chosen_predicted_loss);
  v("frontier", report.frontier);
  v("trials", report.trials);
  v("search", report.search);
  v("experts", report.experts);
  v("price_path", report.price_path);
  v("tensors", report.tensors);
  v("texts", report.texts);
  v("costs", report.costs);
  v("warnings", report.warnings);
}

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_REPORT_FIELDS_H_
