#include "core/base/json_fields.h"
#include "core/report/routing_report.h"

namespace nashswarm::report {

static void Fields(JsonWriter& v, const RoutingTerms& terms) {
  v("balance", terms.balance);
  v("cached", terms.cached);
  v("separation", terms.separation);
  v("alignment", terms.alignment);
  v("cohesion", terms.cohesion);
  v("nash", terms.nash);
  v("total", terms.total);
}

static void Fields(JsonWriter& v, const RouterRow& row) {
  v("name", row.name);
  v("mean_nll", row.mean_nll);
  v("mean_nll_stderr", row.mean_nll_stderr);
  v("nll_change", row.nll_change);
  v("perplexity", row.perplexity);
  v("same_choices", row.same_choices);
  v("load_variation", row.load_variation);
  v("hit_rate", row.hit_rate);
  v("bytes_per_token", row.bytes_per_token);
  v("rounds", row.rounds);
  v("most_rounds", row.most_rounds);
  v("batches", row.batches);
  v("nash_batches", row.nash_batches);
  v("terms", row.terms);
}

static void Fields(JsonWriter& v, const RoutedLayer& layer) {
  v("layer", layer.layer);
  v("model_tokens", layer.model_tokens);
  v("game_tokens", layer.game_tokens);
  v("model_together", layer.model_together);
  v("game_together", layer.game_together);
  v("model_hit_rate", layer.model_hit_rate);
  v("game_hit_rate", layer.game_hit_rate);
}

static void Fields(JsonWriter& v, const Convergence& convergence) {
  v("potential", convergence.potential);
  v("cohesion", convergence.cohesion);
  v("moved", convergence.moved);
}

static void Fields(JsonWriter& v, const RoutingPoint& point) {
  v("value", point.value);
  v("nll_change", point.nll_change);
  v("hit_rate", point.hit_rate);
  v("bytes_per_token", point.bytes_per_token);
  v("load_variation", point.load_variation);
  v("rounds", point.rounds);
  v("chosen", point.chosen);
}

static void Fields(JsonWriter& v, const RoutingSweep& sweep) {
  v("parameter", sweep.parameter);
  v("text", sweep.text);
  v("points", sweep.points);
}

static void Fields(JsonWriter& v, const PolicyRow& row) {
  v("policy", row.policy);
  v("model_hit_rate", row.model_hit_rate);
  v("game_hit_rate", row.game_hit_rate);
  v("model_shared_hit_rate", row.model_shared_hit_rate);
  v("game_shared_hit_rate", row.game_shared_hit_rate);
}

static void Fields(JsonWriter& v, const OrderRow& row) {
  v("order", row.order);
  v("touched", row.touched);
  v("runs", row.runs);
  v("faulted", row.faulted);
  v("resident", row.resident);
}

static void Fields(JsonWriter& v, const PagesReport& pages) {
  v("file", pages.file);
  v("page_bytes", pages.page_bytes);
  v("tokens", pages.tokens);
  v("router", pages.router);
  v("orders", pages.orders);
  v("not_measured", pages.not_measured);
}

static void Fields(JsonWriter& v, const RoutingLambdas& lambdas) {
  v("balance", lambdas.balance);
  v("cached", lambdas.cached);
  v("separation", lambdas.separation);
  v("alignment", lambdas.alignment);
  v("cohesion", lambdas.cohesion);
  v("nash", lambdas.nash);
}

static void Fields(JsonWriter& v, const RoutingSettings& settings) {
  v("similarity", settings.similarity);
  v("alpha", settings.alpha);
  v("separation", settings.separation);
  v("threshold", settings.threshold);
  v("alignment", settings.alignment);
  v("cohesion", settings.cohesion);
  v("cache_bonus", settings.cache_bonus);
  v("bonus_was_chosen", settings.bonus_was_chosen);
  v.If(settings.bonus_was_chosen, "max_loss", settings.max_loss);
  v("group", settings.group);
  v("batch", settings.batch);
  v("policy", settings.policy);
  v("cache_bytes", settings.cache_bytes);
  v("expert_bytes", settings.expert_bytes);
  v("lambdas", settings.lambdas);
}

static void Fields(JsonWriter& v, const RoutingReport& report) {
  v("engine", report.engine);
  v("model_name", report.model_name);
  v("architecture", report.architecture);
  v("experts", report.experts);
  v("used", report.used);
  v("text", report.text);
  v("text_bytes", report.text_bytes);
  v("tokens", report.tokens);
  v("scored", report.scored);
  v("context", report.context);
  v("tuning_tokens", report.tuning_tokens);
  v("settings", report.settings);
  v("routers", report.routers);
  v("layers", report.layers);
  v("convergence", report.convergence);
  v("sweeps", report.sweeps);
  v("policies", report.policies);
  v("pages", report.pages);
  v("seconds", report.seconds);
  v("notes", report.notes);
}

OrderedJson ToJson(const RoutingReport& report) {
  OrderedJson out = OrderedJson::object();
  out["schema"] = kRoutingSchema;
  JsonWriter writer(&out);
  Fields(writer, report);
  return out;
}

}  // namespace nashswarm::report
