// Routing the tokens of a batch to the experts of one mixture-of-experts layer, as a congestion game.
//
// A token's strategy S is a set of top_k different experts of its local group, the experts that are nearest to it:
// those of its greatest router logits. What it gains by S is the sum over j of S of
//
//   similarity[i][j]                                the router's own logit of token i and expert j, or its squared gate
//   - alpha * load(j)                               load(j) = n_j * experts / (tokens * top_k): the n_j tokens that
//   - separation * max(0, load(j) - threshold)      chose j, itself among them, relative to an equal share
//   + alignment * agreeing(i, j) / 7                agreeing: how many of the token's neighbours (neighbours.h) chose j
//   + cohesion * cos(c_j, mean of c over the group) c_j: the router's row of expert j
//   + cache_bonus * cached_ij                       1 when the expert's weights are in memory as the token comes
//
// all in the unit of the similarity. Logits say which experts a token prefers, squared gates how much their loss would
// change the layer's output: an expert with a small gate costs little to exchange, whatever the next one's logit.
//
// Separation, alignment and cohesion are the three rules of a flock (C. Reynolds, "Flocks, herds, and schools",
// SIGGRAPH 1987), the 7 neighbours those of starlings (M. Ballerini et al., PNAS 105, 2008).
//
// It is an exact potential game (D. Monderer, L. Shapley, "Potential games", Games and Economic Behavior 14, 1996):
// when one token alone changes its set, its gain changes by exactly as much as
//
//   sum over i and j of S_i of the terms that no other token changes (similarity, cohesion, cache)
//   - sum over j of cost(1) + cost(2) + .. + cost(n_j), cost(n) = alpha * load + separation * max(0, load - threshold)
//   + alignment / 7 * sum over pairs of neighbours of how many experts both chose
//
// The middle is R. Rosenthal's potential of a congestion game (Int. J. Game Theory 2, 1973): the cost of an expert is
// the same for all who choose it. What an expert is worth differs from token to token (I. Milchtaich, "Congestion
// games with player-specific payoff functions", Games and Economic Behavior 13, 1996, where costs may differ too and
// there need be no potential); here that part does not depend on the load. The last term needs neighbours that are
// neighbours of each other with one weight. So every path of moves that each raise the mover's gain ends, at a pure
// Nash equilibrium.
//
// Deterministic, to the bit on every instruction set; runs in the calling thread. Thread-safe.
#ifndef NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_
#define NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/game/routing/centres.h"

namespace nashswarm::routing {

inline constexpr size_t kMaxExperts = 1024;
inline constexpr size_t kMaxTokens = size_t{1} << 24;
inline constexpr size_t kNearestTokens = 7;
inline constexpr double kMaxWeight = 1e6;  // beyond it prices would drown the similarities in float

// One layer's view of one batch. Does not own what it points to.
struct Batch {
  size_t tokens = 0, experts = 0, top_k = 0;  // 1.. kMaxTokens, kMaxExperts, experts
  absl::Span<const float> logits;             // [tokens x experts], row-major: the router's, before its softmax
  const Centres* centres = nullptr;           // of as many experts; may be null when cohesion is 0
  // [experts] for all tokens, or [tokens x experts]; 0: not in memory. Empty: none is.
  absl::Span<const uint8_t> cached;
  bool normalized = false;                    // a token's gates are relative to the sum of its top_k, as the layer has them

  bool IsCached(size_t token, size_t expert) const {
    return !cached.empty() && cached[cached.size() == experts ? expert : token * experts + expert] != 0;
  }
};

enum class Similarity {
  kLogit,
  kSquaredGate,  // g^2, g the softmax of the token's logits, or of the top_k greatest where the gates are normalized
};

// All in the unit of the similarity (threshold: in equal shares), finite, from 0 to kMaxWeight.
struct Weights {
  double alpha = 0;        // price of an expert that has its equal share of the tokens
  double separation = 0;   // further price of each equal share above `threshold`
  double threshold = 1.25;
  double alignment = 0;    // worth of an expert that 7 neighbours chose; it can have more neighbours
  double cohesion = 0;     // worth of an expert whose centre points where its group's does
  double cache_bonus = 0;  // worth of an expert that is in memory
};

struct Options {
  Similarity similarity = Similarity::kLogit;
  Weights weights;
  size_t group = 7;       // experts of a local group; 2 * top_k when that is more, and never more than there are
  int max_rounds = 50;    // turns of every token, at least 1
  // A token exchanges one expert for another only when it gains more than this; above 0, or else rounding
  // errors pass for gains.
  double least_gain = 1e-5;
};

// Standard deviation of the loads / their mean; 0 of loads that are all 0.
double LoadVariation(absl::Span<const uint32_t> loads);

struct Result {
  std::vector<uint16_t> chosen;   // [tokens x top_k], by falling similarity, of equal ones the lower index first
  int rounds = 0;                 // the last, in which no token moved, counts
  std::vector<int64_t> moves;     // of each round: tokens that changed their set
  std::vector<double> potential;  // before the first round and after each
  std::vector<double> cohesion;   // likewise: mean cosine of a chosen expert's centre and its group's, or empty
  std::vector<uint32_t> loads;    // [experts]: tokens that chose it
  double load_variation = 0;      // LoadVariation(loads)
  double max_gain = 0;            // what the token that gains most by changing its set alone would gain
  bool ended = false;             // no token moved in the last round
  bool nash = false;              // max_gain <= top_k * least_gain: no exchange of one expert is worth least_gain
};

// Begins with the model's own top_k (of equal logits the lower expert, as torch.topk does on the CPU) and lets the
// tokens, in rounds, change to their best response until none does or the rounds are used up (no error: ended ==
// false). With all weights zero the chosen experts are the model's own.
//
// The tokens of a block of 16 are compared with their best responses at once, a SIMD lane each; those that differ
// then move one after another, each against the loads as they are by then and only if it gains, so that the potential
// rises with every move.
//
// INVALID_ARGUMENT with
//   ROUTING_SHAPE      sizes that do not fit one another or the limits, or cohesion without centres
//   ROUTING_OPTIONS    weights or options out of range
//   NON_FINITE_LOGITS  a logit that is NaN or infinite
absl::StatusOr<Result> Route(const Batch& batch, const Options& options);

// What a given choice is worth in the game.
struct Evaluation {
  double potential = 0;
  double max_gain = 0;          // as in Result
  double mean_gain = 0;         // mean over the tokens of what each would gain by changing its set alone
  double cohesion = 0;          // as in Result; 0 without centres
  std::vector<uint32_t> loads;  // [experts]
  double load_variation = 0;
};

// chosen [tokens x top_k], in any order. Errors as of Route, and INVALID_ARGUMENT / ROUTING_CHOICE when a token chose
// an expert twice or one that is not of its local group.
absl::StatusOr<Evaluation> Evaluate(const Batch& batch, const Options& options, absl::Span<const uint16_t> chosen);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_ROUTING_H_
