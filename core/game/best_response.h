// Best-response dynamics in finite games of any number of players, given by callbacks.
//
// A profile is one strategy index for each player. Players in turn, from the lowest index, change to the strategy that
// costs them least while the others stay. In an exact potential game one function of the profile changes by exactly the
// mover's change of cost, so every path of such moves ends, at a pure equilibrium (Monderer and Shapley 1996,
// "Potential games", section 2; Rosenthal 1973 for congestion games). In other games the dynamics may run in a circle.
//
// Errors: INVALID_ARGUMENT / GAME_INVALID for a game without players, strategies or cost, a profile that does not fit,
// options out of range, or a cost or potential that is not finite; INVALID_ARGUMENT / GAME_NOT_POTENTIAL see below.
#ifndef NASHSWARM_CORE_GAME_BEST_RESPONSE_H_
#define NASHSWARM_CORE_GAME_BEST_RESPONSE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::game {

// The callbacks are called from the calling thread, with profiles that fit, and must always give the same number for
// the same profile. The span is valid for the call only.
struct FiniteGame {
  std::vector<int> strategies;  // how many each player has, at least one
  // What `player` pays at `profile`. For a game of payoffs, minus the payoff.
  std::function<double(absl::Span<const int> profile, int player)> cost;
  // Optional: what falls by exactly the mover's gain.
  std::function<double(absl::Span<const int> profile)> potential;
};

struct BestResponseOptions {
  int max_rounds = 1000;  // turns of every player, at least 1
  // A player moves only when it gains more than this, in units of cost; not negative. Above 0 it keeps rounding errors
  // in the costs from passing for gains; the result is then an equilibrium to within it.
  double least_gain = 0;
  // How far a move's change of potential may be from the change of the mover's cost, as a share of the largest of the
  // four numbers: rounding only.
  double potential_tolerance = 1e-9;
};

struct BestResponseResult {
  std::vector<int> profile;
  bool ended = false;  // in the last round nobody moved: `profile` is an equilibrium
  int rounds = 0;      // the last, quiet one counts
  int64_t moves = 0;
  std::vector<double> potential;  // at the start and after every move; empty without the callback
};

// From `start`, until nobody moves for a round or the rounds are used up (no error: ended == false). A player whose
// strategy is among the best keeps it; of several better ones it takes the best, of equal ones the lowest index.
// GAME_NOT_POTENTIAL when a move changes the potential by anything else than the change of the mover's cost.
// A round costs one call of `cost` for every strategy of every player.
absl::StatusOr<BestResponseResult> RunBestResponse(const FiniteGame& game, absl::Span<const int> start,
                                                   const BestResponseOptions& options = {});

// Whether no player gains more than `least_gain` by deviating alone.
absl::StatusOr<bool> IsEquilibrium(const FiniteGame& game, absl::Span<const int> profile, double least_gain = 0);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_BEST_RESPONSE_H_
