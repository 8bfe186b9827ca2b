// The fields of a plan, once: for plan.json, and for the files that a plan is a part of. Of PlanSummary in the order of their
// names, as manifest.json has them.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_PLAN_FIELDS_H_
#define NASHSWARM_CORE_PIPELINE_FILES_PLAN_FIELDS_H_

#include <string>

#include "core/base/json_fields.h"
#include "core/pipeline/files/plan.h"
#include "core/quant/format_text.h"
#include "core/report/report_fields.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<FrontierPoint> T>
void Fields(V& v, T& point) {
  v("bytes", point.bytes);
  v("loss", point.loss);
}

template <typename V, MaybeConst<Trial> T>
void Fields(V& v, T& trial) {
  v("bytes", trial.bytes);
  v("predicted_loss", trial.predicted_loss);
  v("mean_kl", trial.mean_kl);
  v("perplexity", trial.perplexity);
  v("perplexity_change", trial.perplexity_change);
  v("passed", trial.passed);
}

template <typename V, MaybeConst<PlannedTensor> T>
void Fields(V& v, T& tensor) {
  std::string format = tensor.choice.name();
  v("format", format);
  v("step", tensor.choice.step);
  if constexpr (!std::is_const_v<T>) {
    const bool known = tensor.choice.has_step() ? format == tensor.choice.name() : FromText(format, &tensor.choice.format);
    v.Require(known, "format", "the name of a format");
  }
  v("bytes", tensor.bytes);
  v("distortion", tensor.distortion);
  v("loss_weight", tensor.loss_weight);
}

template <typename V, MaybeConst<Ablation> T>
void Fields(V& v, T& ablation) {
  v("name", ablation.name);
  v("bytes", ablation.bytes);
  v("mean_kl", ablation.mean_kl);
}

template <typename V, MaybeConst<SearchTrace> T>
void Fields(V& v, T& search) {
  v("text", search.text);
  v("tokens", search.tokens);
  v("trace", search.trace);
  v("ablation", search.ablation);
}

template <typename V, MaybeConst<PlanStep> T>
void Fields(V& v, T& step) {
  v("bytes", step.bytes);
  v("loss", step.loss);
  v("price", step.price);
}

template <typename V, typename T>
void SummaryFields(V& v, T& plan) {
  v("duality_gap", plan.duality_gap);
  v.If(!plan.expert_order.empty(), "expert_order", plan.expert_order);
  v("file_bytes", plan.file_bytes);
  v("loss", plan.loss);
  v("lower_bound", plan.lower_bound);
  v("path", plan.path);
  v("price", plan.price);
  v("proved_best", plan.proved_best);
  v("summary", plan.summary);
  v("target_bytes", plan.target_bytes);
}

template <typename V, MaybeConst<PlanSummary> T>
void Fields(V& v, T& plan) {
  SummaryFields(v, plan);
}

template <typename V, MaybeConst<Plan> T>
void Fields(V& v, T& plan) {
  SummaryFields(v, plan);
  v("frontier", plan.frontier);
  v("search", plan.search);
  v("tensors", plan.tensors);
  v("trials", plan.trials);
}

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_PLAN_FIELDS_H_
