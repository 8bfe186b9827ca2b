// The compression game on tensors: every player picks the strategy with the least loss + price * bytes.
//
// Players take the price as given, so a move changes the potential sum_t (a_t D_t + price R_t) by exactly the mover's
// gain: an exact potential game. Without couplings each player's best response does not depend on the others, and one
// sweep is an equilibrium and the minimum of the potential. Bisecting the price meets a budget (Shoham and Gersho, 1988,
// "Efficient bit allocation for an arbitrary set of quantizers"). What the convex hull leaves of the budget is spent by
// best marginal return. The Lagrangian dual bounds the true optimum from below. A game small enough (gaps matter there,
// since one tensor is a large part of the budget) is then solved exactly, as a multiple-choice knapsack.
#ifndef NASHSWARM_CORE_GAME_GAME_H_
#define NASHSWARM_CORE_GAME_GAME_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::game {

struct Strategy {
  uint64_t bytes = 0;      // R: exact bytes in the file
  double distortion = 0;   // D: relative squared error, >= 0
};

struct Player {
  std::string name;
  double loss_weight = 1;  // a: loss of the model per unit of D, >= 0
  std::vector<Strategy> strategies;  // at least one
};

// One step of the price's path to equilibrium.
struct PriceStep {
  double price;    // loss per byte
  uint64_t bytes;  // what the players take at it
  double loss;
};

struct Plan {
  std::vector<int> choice;     // per player, an index into its strategies
  uint64_t bytes = 0;          // sum of the players' bytes, at most the budget
  double loss = 0;             // sum of a_t D_t
  double price = 0;            // at equilibrium; 0 when the budget binds nobody
  double lower_bound = 0;      // no plan within the budget has a smaller loss
  bool proved_best = false;        // no plan within the budget has a smaller loss than this one
  bool nobody_wants_more = false;  // every player is at its least loss; the budget is not the limit
  std::vector<PriceStep> path;

  double duality_gap() const { return loss - lower_bound; }
};

// Deterministic. INVALID_ARGUMENT / TARGET_INFEASIBLE when even the smallest strategies exceed `budget` bytes;
// INVALID_ARGUMENT / GAME_INVALID on a player without strategies, with more than 255, or with a negative or non-finite number.
// The optimum itself is looked for where that takes at most `exact_work` steps; a step is a nanosecond, about.
inline constexpr uint64_t kExactWork = 400'000'000;
inline constexpr uint64_t kExactWorkOfMany = 30'000'000;  // where a curve is made of many solutions
absl::StatusOr<Plan> Solve(absl::Span<const Player> players, uint64_t budget, uint64_t exact_work = kExactWork);

// Bytes of the cheapest plan there is.
uint64_t SmallestBytes(absl::Span<const Player> players);

// The strategy of least loss + price * bytes; of equal ones the one with the fewest bytes.
int BestResponse(const Player& player, double price);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_GAME_H_
