// Expert routing as a congestion game: tokens are players, and a token's strategy is a set of `used` experts among the few
// that lie nearest to it. What an expert j of the set is worth to token i, in units of the router's logits:
//
//   s_ij                                    similarity: the router's own logit
//   - load * n_j / u                        n_j: tokens that use j, i among them; u = tokens * used / experts, an even share
//   - separation * max(0, n_j / u - crowd)  the flock keeps apart where it is crowded
//   + alignment * |{i' ~ i that use j}| / 7 it flies as its nearest neighbours do
//   + cohesion * cos(c_j, centre of i's group)  and stays together: c_j is row j of the router, the centre is the group's mean
//   + cached * [j is in the cache now]
//
// (C. Reynolds, SIGGRAPH 1987; seven neighbours: M. Ballerini et al., PNAS 105, 2008.) A load that all users of an expert
// share and terms that concern one token alone or a pair of them alike make it an exact potential game (R. Rosenthal,
// "A class of games possessing pure-strategy Nash equilibria", 1973; D. Monderer, L. Shapley, "Potential games", 1996): when a
// token changes its set, its utility and
//
//   P = sum_i sum_{j of i} (s_ij + cohesion and cache terms) - sum_j sum_{m=1..n_j} cost(m) + pairs' alignment,
//   cost(m) = load * m / u + separation * max(0, m / u - crowd)
//
// change by the same amount. So better responses, one at a time, end, and where they end no token gains by moving alone: a Nash
// equilibrium. With all weights 0 that is the model's own top `used`, exactly.
//
// A round looks at every token. Whether a token wants to move is found for many tokens at a time (kernels.h); only those that
// do are moved one by one, each looking at the loads as they are then. In the first round they look at the loads that are to be
// expected when all have moved; it is kept where the potential rose.
#ifndef NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_
#define NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::routing {

inline constexpr uint64_t kNeighbours = 7;

// All in units of logits, >= 0.
struct Weights {
  double load = 0;         // alpha
  double separation = 0, crowd = 1.5;  // crowd: in even shares
  double alignment = 0;
  double cohesion = 0;
  double cached = 0;
  bool moves_nobody() const { return load == 0 && separation == 0 && alignment == 0 && cohesion == 0 && cached == 0; }
};

struct Options {
  uint64_t experts = 0, used = 0;  // of a layer; of a token
  // Experts a token may choose among: the nearest so many, but at least twice `used`, since with no more than it uses a token
  // has nothing to choose, and at most all of them.
  uint64_t group = kNeighbours;
  Weights weights;
  uint64_t most_rounds = 50;
  uint64_t Group() const;
};

// One layer of one batch. Borrowed for the call.
struct Batch {
  absl::Span<const float> logits;    // tokens x experts, finite
  absl::Span<const float> centres;   // experts x width: the router's rows; needed for cohesion alone, else may be empty
  absl::Span<const uint8_t> cached;  // by expert, 0 or 1; empty: none
};

struct Round {
  uint64_t moves = 0;      // tokens that changed their set
  double potential = 0;    // P after it
  double cohesion = 0;     // mean cosine between chosen experts and the centres of groups; 0 without centres
};

struct Result {
  std::vector<uint16_t> chosen;  // tokens x used, in descending order of the logits
  std::vector<uint64_t> loads;   // tokens by expert
  Round start;                   // the model's own choice; no moves
  std::vector<Round> rounds;     // the last one without moves, unless there were most_rounds
  double most_gain = 0;          // of a token that would change its set alone; at most kLeastGain at an equilibrium
  bool is_nash = false;
  double load_variation = 0;     // standard deviation of the loads over their mean
};

// A move must be worth so much: sums of floats of the size of logits are not known better.
inline constexpr double kLeastGain = 1e-4;

// Deterministic, in the calling thread. INVALID_ARGUMENT with ROUTING_SHAPE (counts that do not fit one another), ROUTING_WEIGHTS
// (negative or not finite), NON_FINITE_LOGITS.
absl::StatusOr<Result> Route(const Batch& batch, const Options& options);

double LoadVariation(absl::Span<const uint64_t> loads);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_
