// Terms that training can add to a router's loss, so that the model's own routing comes near the game's equilibrium
// (routing.h): values, on one layer and one batch; no gradients.
#ifndef NASHSWARM_CORE_GAME_ROUTING_LOSSES_H_
#define NASHSWARM_CORE_GAME_ROUTING_LOSSES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {

// Of a routing S: the model's own, or one that is given.
struct LossTerms {
  // experts * sum over j of f_j * P_j; f_j: share of all tokens * top_k choices that fell on expert j, P_j: mean over
  // the tokens of the softmax of their logits at j. No unit, above 0 and at most experts; 1 when either is uniform.
  // (W. Fedus, B. Zoph, N. Shazeer, "Switch Transformers", 2021, section 2.2, for top_k = 1.)
  double balance = 0;
  // Share of the choices that fell on experts that are cached. No unit, 0..1.
  double cached = 0;
  // sum over j of max(0, load(j) - threshold), load and threshold in equal shares. 0..experts.
  double separation = 0;
  // Over all pairs of neighbours, the share of the experts of one that the other chose too: common / (top_k * pairs).
  // No unit, 0..1; 0 without pairs. Neighbours are those of neighbours.h, whatever the weight of alignment.
  double alignment = 0;
  // Mean cosine of a chosen expert's centre and the mean centre of the token's local group. -1..1; 0 without centres.
  double cohesion = 0;
  // Mean over the tokens of max(0, utility of the best response - own utility), against the loads of S itself, with the
  // weights of `options`. In the unit of the similarity, 0 or more; 0: S is a Nash equilibrium.
  double nash = 0;
};

// `chosen` as in Evaluate; empty: the model's own top_k. Errors as of Evaluate.
absl::StatusOr<LossTerms> ComputeLossTerms(const Batch& batch, const Options& options,
                                           absl::Span<const uint16_t> chosen = {});

// How much each term counts, in units of the cross-entropy (nats per token) for each unit of the term; 0 or more.
struct LossLambdas {
  double balance = 0;     // lambda 1
  double cached = 0;      // lambda 2
  double separation = 0;
  double alignment = 0;
  double cohesion = 0;
  double nash = 0;

  // cross_entropy + balance * L_balance - cached * R_cache + separation * L_separation - alignment * L_alignment
  // - cohesion * L_cohesion + nash * L_nash: what is wanted (cached, aligned, coherent) counts against the loss.
  double Total(double cross_entropy, const LossTerms& terms) const {
    return cross_entropy + balance * terms.balance - cached * terms.cached + separation * terms.separation -
           alignment * terms.alignment - cohesion * terms.cohesion + nash * terms.nash;
  }
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_LOSSES_H_
