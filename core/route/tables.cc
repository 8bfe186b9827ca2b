#include "core/route/tables.h"

#include <algorithm>

#include "core/base/status.h"
#include "core/expert_cache/coactivation.h"
#include "core/expert_cache/simulate.h"

namespace nashswarm::route {
namespace {

using expert_cache::CacheOptions;
using expert_cache::Policy;
using expert_cache::Trace;

report::RoutingTerms TermsOf(const RoutedRun& run, const routing::LossLambdas& lambdas) {
  routing::LossTerms mean;
  double tokens = 0;
  for (const LayerCounts& layer : run.layers) tokens += static_cast<double>(layer.tokens);
  for (const LayerCounts& layer : run.layers) {
    mean.balance += layer.terms.balance / tokens;
    mean.cached += layer.terms.cached / tokens;
    mean.separation += layer.terms.separation / tokens;
    mean.alignment += layer.terms.alignment / tokens;
    mean.cohesion += layer.terms.cohesion / tokens;
    mean.nash += layer.terms.nash / tokens;
  }
  return {mean.balance,
          mean.cached,
          mean.separation,
          mean.alignment,
          mean.cohesion,
          mean.nash,
          lambdas.Total(run.score.mean_nll, mean)};
}

// Mean over batches of all layers, by round; `after`: what a batch that ended counts from then on, its last value or 0.
enum class After { kLast, kZero };
std::vector<double> MeanByRound(const RoutedRun& run, const std::vector<std::vector<double>> LayerCounts::*series,
                                After after) {
  size_t rounds = 0;
  double tokens = 0;
  for (const LayerCounts& layer : run.layers) {
    for (const auto& batch : layer.*series) rounds = std::max(rounds, batch.size());
    for (const uint64_t count : layer.batch_tokens) tokens += static_cast<double>(count);
  }
  std::vector<double> means(rounds);
  for (const LayerCounts& layer : run.layers) {
    for (size_t b = 0; b < (layer.*series).size(); ++b) {
      const std::vector<double>& batch = (layer.*series)[b];
      if (batch.empty()) continue;
      const double weight = static_cast<double>(layer.batch_tokens[b]) / tokens;
      for (size_t r = 0; r < rounds; ++r) {
        if (r < batch.size() || after == After::kLast) means[r] += weight * batch[std::min(r, batch.size() - 1)];
      }
    }
  }
  return means;
}

// One layer of a trace as a trace of its own.
Trace LayerOf(const Trace& trace, uint32_t layer) {
  Trace one{trace.tokens, 1, trace.experts_per_layer, trace.top_k};
  const auto first = trace.sizes.begin() + static_cast<ptrdiff_t>(trace.Key(layer, 0));
  one.sizes.assign(first, first + trace.experts_per_layer);
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    const absl::Span<const uint16_t> slots = trace.Slots(token, layer);
    one.experts.insert(one.experts.end(), slots.begin(), slots.end());
  }
  return one;
}

absl::StatusOr<double> SharedHitRate(const Trace& trace, const CacheOptions& cache) {
  NS_ASSIGN_OR_RETURN(const expert_cache::SimulationResult result, expert_cache::Simulate(trace, {cache}));
  return result.total.rate();
}

absl::StatusOr<double> SplitHitRate(const std::vector<Trace>& layers, const std::vector<uint64_t>& shares,
                                    CacheOptions cache) {
  double sum = 0;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    cache.capacity_bytes = shares[layer];
    NS_ASSIGN_OR_RETURN(const double rate, SharedHitRate(layers[layer], cache));
    sum += rate;
  }
  return sum / static_cast<double>(layers.size());
}

std::vector<Trace> LayersOf(const Trace& trace) {
  std::vector<Trace> layers;
  for (uint32_t layer = 0; layer < trace.layers; ++layer) layers.push_back(LayerOf(trace, layer));
  return layers;
}

template <typename Counts>
std::vector<uint64_t> Wide(const Counts& counts) {
  return std::vector<uint64_t>(counts.begin(), counts.end());
}

}  // namespace

report::RoutingPoint PointOf(const RoutedRun& run, const RoutedRun& own, double value) {
  report::RoutingPoint point;
  point.value = value;
  point.nll_change = run.score.mean_nll / own.score.mean_nll - 1;
  point.hit_rate = run.hits().rate();
  point.bytes_per_token = run.bytes_per_token();
  point.load_variation = run.load_variation();
  point.rounds = run.mean_rounds();
  return point;
}

report::RouterRow RowOf(std::string name, const RoutedRun& run, const RoutedRun& own,
                        const routing::LossLambdas& lambdas) {
  report::RouterRow row;
  row.name = std::move(name);
  row.mean_nll = run.score.mean_nll;
  row.mean_nll_stderr = run.score.mean_nll_stderr;
  row.nll_change = run.score.mean_nll / own.score.mean_nll - 1;
  row.perplexity = run.score.perplexity;
  row.same_choices = run.same_choices();
  row.load_variation = run.load_variation();
  row.hit_rate = run.hits().rate();
  row.bytes_per_token = run.bytes_per_token();
  row.rounds = run.mean_rounds();
  for (const LayerCounts& layer : run.layers) row.most_rounds = std::max(row.most_rounds, layer.most_rounds);
  row.batches = run.batches();
  row.nash_batches = run.nash_batches();
  row.terms = TermsOf(run, lambdas);
  return row;
}

report::Convergence ConvergenceOf(const RoutedRun& game) {
  return {MeanByRound(game, &LayerCounts::potential, After::kLast),
          MeanByRound(game, &LayerCounts::cohesion, After::kLast),
          MeanByRound(game, &LayerCounts::moved, After::kZero)};
}

absl::StatusOr<std::vector<report::RoutedLayer>> LayersOf(const RoutedRun& own, const Trace& own_trace,
                                                          const RoutedRun& game, const Trace& game_trace) {
  NS_ASSIGN_OR_RETURN(const expert_cache::Coactivation own_counts, expert_cache::CountCoactivation(own_trace));
  NS_ASSIGN_OR_RETURN(const expert_cache::Coactivation game_counts, expert_cache::CountCoactivation(game_trace));
  std::vector<report::RoutedLayer> layers;
  for (uint32_t layer = 0; layer < own_trace.layers; ++layer) {
    layers.push_back({static_cast<int>(layer), Wide(own_counts.Load(layer)), Wide(game_counts.Load(layer)),
                      Wide(own_counts.Together(layer)), Wide(game_counts.Together(layer)),
                      own.layers[layer].hits.rate(), game.layers[layer].hits.rate()});
  }
  return layers;
}

absl::StatusOr<std::vector<report::PolicyRow>> PoliciesOf(const Trace& own, const Trace& game,
                                                          const CacheOptions& cache) {
  const std::vector<Trace> own_layers = LayersOf(own), game_layers = LayersOf(game);
  const std::vector<uint64_t> shares = LayerShares(cache.capacity_bytes, own.sizes, own.layers);
  std::vector<report::PolicyRow> rows;
  for (const Policy policy : {Policy::kLru, Policy::kLfu, Policy::kTtl, Policy::kAdaptive, Policy::kOptimal}) {
    CacheOptions options = cache;
    options.policy = policy;
    report::PolicyRow row{std::string(expert_cache::PolicyName(policy))};
    NS_ASSIGN_OR_RETURN(row.model_hit_rate, SplitHitRate(own_layers, shares, options));
    NS_ASSIGN_OR_RETURN(row.game_hit_rate, SplitHitRate(game_layers, shares, options));
    NS_ASSIGN_OR_RETURN(row.model_shared_hit_rate, SharedHitRate(own, options));
    NS_ASSIGN_OR_RETURN(row.game_shared_hit_rate, SharedHitRate(game, options));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace nashswarm::route
