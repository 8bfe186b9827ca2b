// The report of `nashswarm route`: what a model's own choice of experts and the routing game's cost and save on a text. One
// structure, three forms: JSON (schema: docs/routing.md), a self-contained page, and the terminal's tables.
// All of it was measured unless its name says "predicted"; what was not measured is absent, never zero.
#ifndef NASHSWARM_CORE_REPORT_ROUTING_REPORT_H_
#define NASHSWARM_CORE_REPORT_ROUTING_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace nashswarm::report {

inline constexpr char kRoutingSchema[] = "nashswarm.routing/1";

// The terms of the balancing loss, means over the layers and their batches weighed by tokens; formulas and ranges:
// core/game/routing/losses.h.
struct RoutingTerms {
  double balance = 0, cached = 0, separation = 0, alignment = 0, cohesion = 0, nash = 0;
  double total = 0;              // mean_nll with all of them, at RoutingSettings::lambdas: nats a token
};

// One router on the measured text.
struct RouterRow {
  std::string name;              // "model", "game"
  double mean_nll = 0, mean_nll_stderr = 0;  // nats a token
  double nll_change = 0;         // relative to the model's own: 0.01 is 1 % more
  double perplexity = 0;
  double same_choices = 1;       // share of its choices that the model's own router makes too, on the same inputs
  double load_variation = 0;     // standard deviation of the experts' loads / their mean in a batch, mean over batches and layers
  double hit_rate = 0;           // of the experts asked for, those that were in the cache
  double bytes_per_token = 0;    // loaded
  double rounds = 0;             // mean over the batches
  int most_rounds = 0;
  uint64_t batches = 0;          // of all layers
  uint64_t nash_batches = 0;     // of these ended where no token gains by moving alone
  RoutingTerms terms;
};

// The experts of a layer on the measured text.
struct RoutedLayer {
  int layer = 0;
  std::vector<uint64_t> model_tokens, game_tokens;      // [experts]: tokens that used each
  std::vector<uint64_t> model_together, game_together;  // [experts x experts]: tokens that used both; 0 on the diagonal
  double model_hit_rate = 0, game_hit_rate = 0;
};

// Means over the batches of all layers, from before the first round on; a batch that ended keeps its last value.
struct Convergence {
  std::vector<double> potential;  // above what the model's own choice has, a token
  std::vector<double> cohesion;   // mean cosine of a chosen expert's centre and its group's
  std::vector<double> moved;      // share of the tokens that changed their set in the round: one shorter
};

// The game at one setting.
struct RoutingPoint {
  double value = 0;              // of the cache bonus, or of alpha
  double nll_change = 0, hit_rate = 0, bytes_per_token = 0, load_variation = 0, rounds = 0;
  bool chosen = false;           // the setting of the row "game"
};

// Losses against hit rates, or against load variations.
struct RoutingSweep {
  std::string parameter;         // "cache bonus", "alpha"
  std::string text;              // what it was measured on: "held-out text", "tuning text"
  std::vector<RoutingPoint> points;  // by value, ascending; the first is 0
};

// The same choices with another cache.
struct PolicyRow {
  std::string policy;            // "lru", "lfu", "ttl", "adaptive", "optimal"
  double model_hit_rate = 0, game_hit_rate = 0;                // each layer has its share of the bytes
  double model_shared_hit_rate = 0, game_shared_hit_rate = 0;  // one cache for all layers
};

// Pages of the weight file that a token needs when the experts of every layer lie in some order; means over tokens.
struct OrderRow {
  std::string order;             // "original", "random", "together"
  double touched = 0;            // that hold bytes of its experts, predicted from the trace
  double runs = 0;               // stretches of neighbouring pages among them, predicted
  // In the page cache after touching them on a cold mapping, measured with mincore: without readahead, and with the kernel's.
  std::optional<double> faulted, resident;
};

struct PagesReport {
  std::string file;              // name of the file
  uint64_t page_bytes = 0, tokens = 0;  // tokens measured, spread over the text
  std::string router;            // whose choices
  std::vector<OrderRow> orders;
  std::string not_measured;      // why `faulted` and `resident` are absent; empty when it is there
};

struct RoutingLambdas {
  double balance = 0, cached = 0, separation = 0, alignment = 0, cohesion = 0, nash = 0;
};

struct RoutingSettings {
  std::string similarity;        // "gate-squared", "logit"
  double alpha = 0, separation = 0, threshold = 0, alignment = 0, cohesion = 0, cache_bonus = 0;
  bool bonus_was_chosen = false; // on the tuning text, so that the loss rises by no more than max_loss
  double max_loss = 0;           // 0.01: 1 %
  int group = 0;                 // experts of a local group
  uint64_t batch = 0;            // tokens that are routed together
  std::string policy;            // of the cache: "lru", ...
  uint64_t cache_bytes = 0;      // of all layers together; each has its share by the bytes of its experts
  uint64_t expert_bytes = 0;     // of all experts, as stored
  RoutingLambdas lambdas;
};

struct RoutingReport {
  std::string engine;            // "nashswarm 0.1.0"
  std::string model_name, architecture;
  int experts = 0, used = 0;     // of a layer; of a token
  std::string text;              // name of the file
  uint64_t text_bytes = 0;
  uint64_t tokens = 0, scored = 0, context = 0, tuning_tokens = 0;  // tuning_tokens come from the text's beginning and are not in `tokens`
  RoutingSettings settings;
  std::vector<RouterRow> routers;      // "model", then "game"
  std::vector<RoutedLayer> layers;
  Convergence convergence;             // of the row "game"
  std::vector<RoutingSweep> sweeps;
  std::vector<PolicyRow> policies;
  std::optional<PagesReport> pages;
  double seconds = 0;
  std::vector<std::string> notes;
};

// Keys in the order of the members, "schema" first. Non-finite numbers are absent; text is valid UTF-8.
OrderedJson ToJson(const RoutingReport& report);

// As the page of a job's report: one file without scripts, fonts or links to fetch.
std::string ToHtml(const RoutingReport& report);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_ROUTING_REPORT_H_
