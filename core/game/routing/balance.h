// The balancing loss of a routing: what it costs in predictions, in uneven use of experts, in loads of the cache, and how far
// it is from the flock's rules and from an equilibrium.
//
//   L = L_CE + balance * L_balance - cache * R_cache
//       + separation * L_separation - alignment * R_alignment - cohesion * R_cohesion + nash * L_nash
#ifndef NASHSWARM_CORE_GAME_ROUTING_BALANCE_H_
#define NASHSWARM_CORE_GAME_ROUTING_BALANCE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {

// Of one layer and batch. Without unit unless said otherwise.
struct Terms {
  // experts * sum_j f_j P_j: f_j is the share of choices that fell on expert j, P_j the mean of the router's softmax over all
  // experts (W. Fedus et al., "Switch Transformers", 2021, section 2.2). 1 when both are even; up to `experts`.
  double balance = 0;
  // Share of choices that fell on experts of the cache. 0 to 1.
  double cache = 0;
  // Mean over choices of max(0, load_j - crowd), loads in even shares. 0 to experts / used.
  double separation = 0;
  // Mean over choices of the share of the token's neighbours (neighbours.h) that chose the same expert. 0 to 1.
  double alignment = 0;
  // Mean over choices of the cosine between the expert's centre and that of the token's group. -1 to 1; 0 without centres.
  double cohesion = 0;
  // Mean over tokens of what it would gain by changing its set alone, in the game of `options`. Logits; 0 at an equilibrium.
  double nash = 0;

  Terms& operator+=(const Terms& other);
  Terms operator/(double n) const;
};

// The weights of the terms, all >= 0.
struct Lambdas {
  double balance = 0.01, cache = 0.01, separation = 0, alignment = 0, cohesion = 0, nash = 0;
};

// L, in nats a token, from the cross-entropy L_CE and the means of the terms over layers and batches.
double TotalLoss(double cross_entropy, const Terms& terms, const Lambdas& lambdas);

// `chosen` [tokens x used]. The errors of Route, and ROUTING_SHAPE for choices that are none.
absl::StatusOr<Terms> TermsOf(const Batch& batch, const Options& options, absl::Span<const uint16_t> chosen);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_BALANCE_H_
