#include "core/game/routing/routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/status.h"
#include "core/game/routing/game.h"

namespace nashswarm::routing {

uint64_t Options::Group() const { return std::min(experts, std::max(group, 2 * used)); }

double LoadVariation(absl::Span<const uint64_t> loads) {
  if (loads.empty()) return 0;
  const double mean = static_cast<double>(std::accumulate(loads.begin(), loads.end(), uint64_t{0})) / static_cast<double>(loads.size());
  double squares = 0;
  for (const uint64_t load : loads) squares += (static_cast<double>(load) - mean) * (static_cast<double>(load) - mean);
  return mean > 0 ? std::sqrt(squares / static_cast<double>(loads.size())) / mean : 0;
}

absl::StatusOr<Result> Route(const Batch& batch, const Options& options) {
  NS_RETURN_IF_ERROR(CheckGame(batch, options));
  Game game(batch, options);
  Result result;
  result.start = game.Describe(0);
  if (!options.weights.moves_nobody() && options.most_rounds > 0) {
    const std::vector<uint16_t> own = game.Sets();
    const uint64_t settled = game.Settle();
    result.rounds.push_back(game.Describe(settled));
    if (result.rounds[0].potential <= result.start.potential) {  // then as any other round
      game.Set(own);
      result.rounds[0] = game.Describe(game.Sweep());
    }
    while (result.rounds.back().moves > 0 && result.rounds.size() < options.most_rounds) {
      result.rounds.push_back(game.Describe(game.Sweep()));
    }
  }
  result.chosen = game.Sets();
  result.loads = game.loads();
  result.most_gain = game.GreatestGain();
  result.is_nash = result.most_gain <= kLeastGain;
  result.load_variation = LoadVariation(result.loads);
  return result;
}

}  // namespace nashswarm::routing
