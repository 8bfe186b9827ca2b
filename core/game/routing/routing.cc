#include "core/game/routing/routing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/base/status.h"
#include "core/game/routing/forecast.h"
#include "core/game/routing/game.h"
#include "core/game/routing/profile.h"

namespace nashswarm::routing {
namespace {

struct Round {
  int64_t moves = 0;
  double gain = 0;
  void Add(double move) {
    moves += move > 0 ? 1 : 0;
    gain += move;
  }
};

// One turn of every token, against the loads as the tokens before it left them.
Round PlayRound(const Game& game, Profile& profile) {
  Round round;
  for (size_t block = 0; block < game.blocks(); ++block) {
    for (uint32_t bits = profile.Differing(block, profile.prices()); bits != 0; bits &= bits - 1) {
      round.Add(profile.Move(block * kLanes + static_cast<size_t>(std::countr_zero(bits))));
    }
  }
  return round;
}

// The first round. At the loads of the model's own routing the first tokens would flee experts that are only full
// because the last ones have not moved yet, and come back in later rounds. So the tokens take their turns at the
// prices of the loads that are to be expected when all have moved, which are learnt on the way.
Round PlayFirstRound(const Game& game, Profile& profile) {
  Round round;
  Forecast forecast(game, profile.loads());
  for (size_t block = 0; block < game.blocks(); ++block) {
    for (uint32_t bits = profile.Differing(block, forecast.prices()); bits != 0; bits &= bits - 1) {
      round.Add(profile.MoveToward(block * kLanes + static_cast<size_t>(std::countr_zero(bits)), forecast.prices()));
    }
    forecast.Learn(profile, block);
  }
  return round;
}

double MeanCosine(const Game& game, const Profile& profile) {
  return profile.CosineSum() / static_cast<double>(game.tokens() * game.top_k());
}

void NoteRound(const Game& game, const Profile& profile, double potential, Result& result) {
  result.potential.push_back(potential);
  if (!game.cosines().empty()) result.cohesion.push_back(MeanCosine(game, profile));
}

}  // namespace

double LoadVariation(absl::Span<const uint32_t> loads) {
  const double experts = static_cast<double>(loads.size());
  const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / experts;
  double squares = 0;
  for (const uint32_t load : loads) squares += (load - mean) * (load - mean);
  return mean == 0 ? 0 : std::sqrt(squares / experts) / mean;
}

absl::StatusOr<Result> Route(const Batch& batch, const Options& options) {
  NS_ASSIGN_OR_RETURN(const Game game, Game::Make(batch, options));
  Profile profile(game);
  Result result;
  double potential = profile.Potential();
  NoteRound(game, profile, potential, result);
  const bool congestible = game.cost(game.tokens()) > 0;
  while (!result.ended && result.rounds < options.max_rounds) {
    const bool first = congestible && result.rounds == 0;
    const Round round = first ? PlayFirstRound(game, profile) : PlayRound(game, profile);
    ++result.rounds;
    result.moves.push_back(round.moves);
    result.ended = round.moves == 0 && !first;  // at a forecast's prices nothing is proved
    potential += round.gain;
    NoteRound(game, profile, potential, result);
  }
  result.max_gain = profile.AllGains().greatest;
  result.nash = result.max_gain <= static_cast<double>(game.top_k()) * game.least_gain();
  result.chosen = profile.Chosen();
  result.loads = profile.loads();
  result.load_variation = LoadVariation(profile.loads());
  return result;
}

absl::StatusOr<Evaluation> Evaluate(const Batch& batch, const Options& options, absl::Span<const uint16_t> chosen) {
  NS_ASSIGN_OR_RETURN(const Game game, Game::Make(batch, options));
  Profile profile(game);
  NS_RETURN_IF_ERROR(profile.Choose(chosen));
  Evaluation evaluation;
  evaluation.potential = profile.Potential();
  const Profile::Gains gains = profile.AllGains();
  evaluation.max_gain = gains.greatest;
  evaluation.mean_gain = gains.mean;
  evaluation.cohesion = MeanCosine(game, profile);
  evaluation.loads = profile.loads();
  evaluation.load_variation = LoadVariation(profile.loads());
  return evaluation;
}

}  // namespace nashswarm::routing
