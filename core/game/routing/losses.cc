#include "core/game/routing/losses.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/status.h"
#include "core/game/routing/game.h"
#include "core/game/routing/profile.h"

namespace nashswarm::routing {
namespace {

// Mean over the tokens of the softmax of their logits, by expert.
std::vector<double> MeanProbabilities(const Batch& batch) {
  std::vector<double> mean(batch.experts, 0.0), powers(batch.experts);
  for (size_t token = 0; token < batch.tokens; ++token) {
    const float* logits = &batch.logits[token * batch.experts];
    const double greatest = *std::max_element(logits, logits + batch.experts);
    double sum = 0;
    for (size_t e = 0; e < batch.experts; ++e) sum += powers[e] = std::exp(static_cast<double>(logits[e]) - greatest);
    for (size_t e = 0; e < batch.experts; ++e) mean[e] += powers[e] / sum;
  }
  for (double& p : mean) p /= static_cast<double>(batch.tokens);
  return mean;
}

void AddLoadTerms(const Batch& batch, const Weights& weights, const std::vector<uint32_t>& loads, LossTerms& terms) {
  const std::vector<double> probabilities = MeanProbabilities(batch);
  const double choices = static_cast<double>(batch.tokens * batch.top_k), experts = static_cast<double>(batch.experts);
  for (size_t e = 0; e < batch.experts; ++e) {
    const double share = loads[e] / choices;
    terms.balance += experts * share * probabilities[e];
    terms.separation += std::max(0.0, experts * share - weights.threshold);
  }
}

}  // namespace

absl::StatusOr<LossTerms> ComputeLossTerms(const Batch& batch, const Options& options,
                                           absl::Span<const uint16_t> chosen) {
  NS_ASSIGN_OR_RETURN(const Game game, Game::Make(batch, options, /*with_neighbours=*/true));
  Profile profile(game);
  if (!chosen.empty()) NS_RETURN_IF_ERROR(profile.Choose(chosen));
  LossTerms terms;
  AddLoadTerms(batch, options.weights, profile.loads(), terms);
  const std::vector<uint16_t> choices = profile.Chosen();
  double cached = 0;
  for (size_t at = 0; at < choices.size(); ++at) cached += batch.IsCached(at / batch.top_k, choices[at]) ? 1 : 0;
  terms.cached = cached / static_cast<double>(choices.size());
  const double pairs = static_cast<double>(game.neighbours().of.size()) / 2;
  const double common = static_cast<double>(profile.Agreements()) / static_cast<double>(game.top_k());
  if (pairs > 0) terms.alignment = common / pairs;
  terms.cohesion = profile.CosineSum() / static_cast<double>(game.tokens() * game.top_k());
  terms.nash = profile.AllGains().mean;
  return terms;
}

}  // namespace nashswarm::routing
