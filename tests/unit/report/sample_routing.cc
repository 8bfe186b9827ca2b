#include "tests/unit/report/sample_routing.h"

#include <cmath>
#include <limits>

namespace nashswarm::report {
namespace {

constexpr uint64_t kTokens = 16384;

// A fixed sequence without a pattern to the eye, in [0, 1).
double Jitter(int i) {
  const double x = std::sin(i * 12.9898 + 4.1) * 43758.5453;
  return x - std::floor(x);
}

// Loads that fall off from the favourites of a layer; `spread` 0: all alike.
std::vector<uint64_t> Tokens(int experts, int used, int layer, double spread) {
  std::vector<double> weights;
  double sum = 0;
  for (int e = 0; e < experts; ++e) {
    weights.push_back(std::exp(spread * (2 * Jitter(layer * 131 + e * 17) - 1)));
    sum += weights.back();
  }
  std::vector<uint64_t> tokens;
  for (const double w : weights) tokens.push_back(static_cast<uint64_t>(kTokens * used * w / sum));
  return tokens;
}

// Friends, two by two, meet more often than their loads explain.
std::vector<uint64_t> Together(const std::vector<uint64_t>& tokens, int used, int layer, double friendship) {
  const int experts = static_cast<int>(tokens.size());
  std::vector<uint64_t> together(tokens.size() * tokens.size(), 0);
  for (int a = 0; a < experts; ++a) {
    for (int b = 0; b < a; ++b) {
      const double loads =
          static_cast<double>(tokens[a]) * static_cast<double>(tokens[b]) / kTokens * (used - 1) / used;
      const double factor =
          std::exp(friendship * (2 * Jitter(layer * 977 + a * 31 + b * 7) - 1) + (a / 2 == b / 2 ? friendship : 0));
      together[a * experts + b] = together[b * experts + a] = static_cast<uint64_t>(loads * factor);
    }
  }
  return together;
}

RoutingSweep Sweep(const char* parameter, const char* text, const std::vector<double>& values, size_t chosen) {
  RoutingSweep sweep = {parameter, text, {}};
  const bool bonus = sweep.parameter == "cache bonus";
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = values[i], t = v / (v + 1);
    RoutingPoint point;
    point.value = v;
    point.nll_change = bonus ? 0.0012 + 0.021 * t * t * t : 0.0009 + 0.006 * v * v;
    point.hit_rate = bonus ? 0.352 + 0.52 * t : 0.61 - 0.05 * v;
    point.bytes_per_token = 16.8e6 * (1 - point.hit_rate);
    point.load_variation = bonus ? 0.42 + 0.21 * t : 0.71 / (1 + 2.2 * v);
    point.rounds = 3.2 + 1.4 * t;
    point.chosen = i == chosen;
    sweep.points.push_back(point);
  }
  return sweep;
}

}  // namespace

RoutingReport RoutingOf(int experts, int used, int layers) {
  RoutingReport r;
  r.engine = "nashswarm 0.1.0";
  r.model_name = "tiny-mixtral";
  r.architecture = "mixtral";
  r.experts = experts;
  r.used = used;
  r.text = "wiki.test.txt";
  r.text_bytes = 1290590;
  r.tokens = kTokens, r.scored = 16352, r.context = 512, r.tuning_tokens = 4096;
  r.settings = {.similarity = "gate-squared",
                .alpha = 0.25,
                .separation = 0.1,
                .threshold = 1.25,
                .alignment = 0.05,
                .cohesion = 0,
                .cache_bonus = 1.5,
                .bonus_was_chosen = true,
                .max_loss = 0.01,
                .group = 7,
                .batch = 256,
                .policy = "lru",
                .cache_bytes = 33554432,
                .expert_bytes = 134217728,
                .lambdas = {0.01, 0.02, 0.005, 0.01, 0, 0.1}};
  RouterRow model, game;
  model.name = "model";
  model.mean_nll = 3.2103, model.mean_nll_stderr = 0.0214, model.perplexity = 24.787, model.load_variation = 0.618;
  model.hit_rate = 0.3421, model.bytes_per_token = 11034625.2, model.batches = 64u * layers, model.nash_batches = 0;
  model.terms = {1.184, 0.3421, 0.412, 0.231, 0.612, 0.0871, 3.2210};
  game.name = "game";
  game.mean_nll = 3.2301, game.mean_nll_stderr = 0.0216, game.nll_change = 0.00617, game.perplexity = 25.282,
  game.same_choices = 0.8612;
  game.load_variation = 0.402, game.hit_rate = 0.6643, game.bytes_per_token = 5631180.8, game.rounds = 4.37,
  game.most_rounds = 11;
  game.batches = 64u * layers, game.nash_batches = 64u * layers - 2;
  game.terms = {1.071, 0.6643, 0.118, 0.302, 0.634, 0.0004, 3.2278};
  r.routers = {model, game};
  for (int l = 0; l < layers; ++l) {
    RoutedLayer layer;
    layer.layer = l;
    layer.model_tokens = Tokens(experts, used, l, 1.1);
    layer.game_tokens = Tokens(experts, used, l, 0.45);
    if (experts > 2) layer.model_tokens[l % experts] = l == 1 ? 0 : layer.model_tokens[l % experts];
    layer.model_together = Together(layer.model_tokens, used, l, 0.5 + 0.1 * (l % 5));
    layer.game_together = Together(layer.game_tokens, used, l + 1, 0.3);
    layer.model_hit_rate = 0.28 + 0.12 * Jitter(l);
    layer.game_hit_rate = 0.58 + 0.15 * Jitter(l + 100);
    r.layers.push_back(layer);
  }
  for (int i = 0; i <= 11; ++i) {
    r.convergence.potential.push_back(0.184 * (1 - std::exp(-0.9 * i)));
    r.convergence.cohesion.push_back(0.612 + 0.022 * (1 - std::exp(-0.7 * i)));
    if (i > 0) r.convergence.moved.push_back(0.31 * std::exp(-1.1 * (i - 1)));
  }
  r.convergence.moved.back() = 0;
  r.sweeps = {Sweep("cache bonus", "held-out text", {0, 0.25, 0.5, 1, 1.5, 2, 4}, 4),
              Sweep("alpha", "tuning text", {0, 0.125, 0.25, 0.5, 1}, 2)};
  r.policies = {{"lru", 0.3421, 0.6643, 0.3377, 0.6702},
                {"lfu", 0.3614, 0.6120, 0.3502, 0.6044},
                {"ttl", 0.3302, 0.6411, 0.3218, 0.6390},
                {"adaptive", 0.3688, 0.6702, 0.3590, 0.6714},
                {"optimal", 0.5120, 0.7644, 0.5033, 0.7702}};
  r.pages =
      PagesReport{"tiny-mixtral.nsq",
                  4096,
                  200,
                  "game",
                  {{"original", 812.4, 96.2, 812.4, 830.1}, {"random", 815.0, 118.7, 815.0, 851.9}, {"together", 806.3, 61.4, 806.3, 818.2}},
                  ""};
  r.seconds = 412.6;
  r.notes = {"The bonus was chosen on 4,096 tokens of the text’s beginning, which are not in the figures.",
             "Layer 1 has an expert that no token used."};
  return r;
}

RoutingReport FullRouting() { return RoutingOf(8, 2, 6); }

RoutingReport LargeRouting() {
  RoutingReport r = RoutingOf(256, 8, 48);
  const std::string name =
      "an/extraordinarily-long-name-of-a-file-that-somebody-made-<script>alert(\"x\")</script>&co.txt";
  r.model_name = r.architecture = r.text = r.pages->file = r.notes[0] = r.policies[1].policy =
      r.pages->orders[1].order = name;
  r.settings.similarity = r.settings.policy = r.pages->router = r.pages->not_measured = r.sweeps[1].text = name;
  r.pages->orders[1].resident.reset();
  for (size_t l = 8; l < r.layers.size(); ++l) r.layers[l].model_together.clear(), r.layers[l].game_together.clear();
  return r;
}

RoutingReport BareRouting() {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  RoutingReport r;
  r.engine = "nashswarm 0.1.0";
  r.experts = r.used = 1;
  r.tokens = 40;
  for (const char* name : {"model", "game"}) {
    RouterRow row;
    row.name = name;
    row.mean_nll = row.mean_nll_stderr = row.nll_change = row.perplexity = kNone;
    row.hit_rate = row.bytes_per_token = kNone;
    r.routers.push_back(row);
  }
  r.layers = {{0, {40}, {40}, {0}, {0}, kNone, kNone}};
  r.convergence = {{0, 0}, {}, {0}};
  r.sweeps = {{"alpha", "tuning text", {{0, kNone, kNone, kNone, 0, 1, true}}}};
  r.policies = {{"lru", kNone, kNone, kNone, kNone}};
  r.pages = PagesReport{"", 0, 0, "", {{"original", 3, 1, std::nullopt, std::nullopt}}, "this system has no mincore"};
  return r;
}

}  // namespace nashswarm::report
