#include "core/game/routing/balance.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/status.h"
#include "core/game/routing/game.h"

namespace nashswarm::routing {
namespace {

// sum_j f_j P_j, less the factor.
double Balance(const Batch& batch, uint64_t experts, absl::Span<const uint64_t> loads) {
  const uint64_t tokens = batch.logits.size() / experts;
  std::vector<double> mean(experts), p(experts);
  for (uint64_t t = 0; t < tokens; ++t) {
    const float* logits = &batch.logits[t * experts];
    const double greatest = *std::max_element(logits, logits + experts);
    double sum = 0;
    for (uint64_t e = 0; e < experts; ++e) sum += p[e] = std::exp(static_cast<double>(logits[e]) - greatest);
    for (uint64_t e = 0; e < experts; ++e) mean[e] += p[e] / sum;
  }
  double choices = 0, balance = 0;
  for (const uint64_t load : loads) choices += static_cast<double>(load);
  for (uint64_t e = 0; e < experts; ++e) balance += static_cast<double>(loads[e]) / choices * mean[e] / static_cast<double>(tokens);
  return balance;
}

absl::Status CheckChoices(const Options& options, uint64_t tokens, absl::Span<const uint16_t> chosen) {
  bool ok = chosen.size() == tokens * options.used;
  for (uint64_t t = 0; ok && t < tokens; ++t) {
    for (uint64_t s = 0; s < options.used; ++s) {
      const uint16_t* set = &chosen[t * options.used];
      ok = ok && set[s] < options.experts && std::count(set, set + options.used, set[s]) == 1;
    }
  }
  if (ok) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "ROUTING_SHAPE", "routing: the choices are not of this batch");
}

}  // namespace

Terms& Terms::operator+=(const Terms& other) {
  balance += other.balance;
  cache += other.cache;
  separation += other.separation;
  alignment += other.alignment;
  cohesion += other.cohesion;
  nash += other.nash;
  return *this;
}

Terms Terms::operator/(double n) const {
  return {balance / n, cache / n, separation / n, alignment / n, cohesion / n, nash / n};
}

double TotalLoss(double cross_entropy, const Terms& terms, const Lambdas& lambdas) {
  return cross_entropy + lambdas.balance * terms.balance - lambdas.cache * terms.cache + lambdas.separation * terms.separation -
         lambdas.alignment * terms.alignment - lambdas.cohesion * terms.cohesion + lambdas.nash * terms.nash;
}

absl::StatusOr<Terms> TermsOf(const Batch& batch, const Options& options, absl::Span<const uint16_t> chosen) {
  NS_RETURN_IF_ERROR(CheckGame(batch, options));
  const uint64_t tokens = batch.logits.size() / options.experts;
  NS_RETURN_IF_ERROR(CheckChoices(options, tokens, chosen));
  Terms terms;
  if (tokens == 0) return terms;
  Game game(batch, options);
  game.Set(chosen);
  const double choices = static_cast<double>(chosen.size());
  for (uint64_t e = 0; e < options.experts; ++e) {
    const double load = static_cast<double>(game.loads()[e]);
    terms.separation += load / choices * std::max(0.0, load / game.share() - options.weights.crowd);
    if (!batch.cached.empty() && batch.cached[e] != 0) terms.cache += load / choices;
  }
  terms.balance = static_cast<double>(options.experts) * Balance(batch, options.experts, game.loads());
  terms.cohesion = game.Describe(0).cohesion;
  terms.nash = game.MeanGain();
  // The neighbours are the same whatever alignment is worth in the game.
  Options aligned = options;
  aligned.weights.alignment = 1;
  Game flock(batch, aligned);
  flock.Set(chosen);
  terms.alignment = flock.Agreement();
  return terms;
}

}  // namespace nashswarm::routing
