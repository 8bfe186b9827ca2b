// Two-player games in normal form: pure equilibria, and mixed ones by two classical dynamics.
//
// Player 1 picks a row, player 2 a column, at the same time; both want a large payoff. A mixed strategy is a
// probability for each row (or column). A pair of strategies is an equilibrium (Nash 1951) when its exploitability is
// 0: the sum of what each player could gain by deviating alone. Everything is deterministic, and nothing is kept from
// the arguments.
//
// Errors: INVALID_ARGUMENT / GAME_INVALID for a game that is empty, whose matrices do not have rows * cols numbers, or
// with a number that is not finite or beyond kLargestPayoff; and for strategies or options out of their stated range.
#ifndef NASHSWARM_CORE_GAME_BIMATRIX_H_
#define NASHSWARM_CORE_GAME_BIMATRIX_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::game {

// Sums over any number of rounds stay finite up to here.
constexpr double kLargestPayoff = 1e100;

struct Bimatrix {
  int rows = 0, cols = 0;          // strategies of player 1 and of player 2, at least one each
  std::vector<double> row_payoff;  // of player 1: rows x cols, row-major
  std::vector<double> col_payoff;  // of player 2: rows x cols, row-major

  size_t at(int row, int col) const { return static_cast<size_t>(row) * cols + col; }
};

struct PureProfile {
  int row = 0, col = 0;
  bool operator==(const PureProfile&) const = default;
};

// Probabilities: not negative, each side with a sum of 1 (to 1e-9).
struct MixedProfile {
  std::vector<double> row, col;
};

// All pairs at which no player gains by deviating (ties count as equilibria), by rising row, then column. May be empty.
absl::StatusOr<std::vector<PureProfile>> PureEquilibria(const Bimatrix& game);

// max_i (A y)_i - x A y + max_j (x B)_j - x B y for payoffs A, B and strategies x, y: 0 or more, in units of payoff.
absl::StatusOr<double> Exploitability(const Bimatrix& game, const MixedProfile& profile);

struct FictitiousPlayOptions {
  int64_t max_rounds = 100'000;  // at least 1
  double tolerance = 1e-3;       // stop at this exploitability; not negative
  PureProfile start;             // what is played in the first round
};

struct FictitiousPlayResult {
  MixedProfile strategies;  // how often each strategy was played
  double exploitability = 0;
  int64_t rounds = 0;
  bool met_tolerance = false;
};

// Each round both players at once reply to how often the other has played each strategy so far (Brown 1951, "Iterative
// solution of games by fictitious play"; Brown let them move in turn). Ties take the lowest index. The frequencies
// converge to an equilibrium in zero-sum games (Robinson 1951, "An iterative method of solving a game"), in 2 x 2 games
// (Miyasawa 1961) and in potential games (Monderer and Shapley 1996); in others they may cycle for ever (Shapley 1964),
// which shows as met_tolerance == false. A round costs rows + cols; expect in the order of 1 / tolerance^2 rounds.
absl::StatusOr<FictitiousPlayResult> FictitiousPlay(const Bimatrix& game, const FictitiousPlayOptions& options = {});

struct ReplicatorOptions {
  int64_t max_steps = 10'000;  // not negative
  double step_size = 0.01;     // above 0, at most 1
  double tolerance = 1e-3;     // stop when the last point has this exploitability; not negative
  MixedProfile start;          // empty: uniform. A strategy of probability 0 stays at 0.
};

struct ReplicatorResult {
  MixedProfile last, average;  // the average of all points, the first and the last among them
  double last_exploitability = 0, average_exploitability = 0;
  int64_t steps = 0;
  bool met_tolerance = false;  // of the last point
};

// Two populations; a strategy's share grows as it does better than its population's mean (Taylor and Jonker 1978,
// "Evolutionary stable strategies and game dynamics"), here in discrete time (Hofbauer and Sigmund 1998):
//   x_i <- x_i (1 + step_size u_i) / (1 + step_size sum_k x_k u_k),
// where u is the payoff against the other population, mapped to [0, 1] by the least and largest entry of the player's
// matrix, so that the step size does not depend on units. Both populations move at once. A step costs rows * cols.
//
// It need not converge: in matching pennies every orbit moves away from the equilibrium (x_1 x_2 y_1 y_2 falls with
// every step). Nor need a point of rest be an equilibrium: a strategy of share 0 never comes back. In a zero-sum game
// with payoff ranges r_1, r_2 the average of T points is nearly an equilibrium all the same (these are multiplicative
// weights; with z - z^2 / 2 <= ln(1 + z) <= z for z >= 0, the log of a share that cannot exceed 1 bounds the regret):
//   exploitability <= (r_1 + r_2) step_size / 2 + (r_1 ln(1 / x) + r_2 ln(1 / y)) / (step_size T),
// with x, y the smallest share of a row and of a column at the start.
absl::StatusOr<ReplicatorResult> ReplicatorDynamics(const Bimatrix& game, const ReplicatorOptions& options = {});

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_BIMATRIX_H_
