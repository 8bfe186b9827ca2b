// A score in JSON (core/base/json_fields.h): the agreement's keys stand among its own, and are absent without one.
#ifndef NASHSWARM_CORE_EVALUATE_SCORE_FIELDS_H_
#define NASHSWARM_CORE_EVALUATE_SCORE_FIELDS_H_

#include "core/base/json_fields.h"
#include "core/evaluate/score.h"

namespace nashswarm::evaluate {

template <typename V, MaybeConst<Agreement> T>
void Fields(V& v, T& agreement) {
  v("mean_kl", agreement.mean_kl);
  v("mean_kl_stderr", agreement.mean_kl_stderr);
  v("p99_kl", agreement.p99_kl);
  v("same_top1", agreement.same_top1);
  v("mean_nll_change", agreement.mean_nll_change);
  v("mean_nll_change_stderr", agreement.mean_nll_change_stderr);
}

template <typename V, MaybeConst<Score> T>
void Fields(V& v, T& score) {
  v("perplexity", score.perplexity);
  v("mean_nll", score.mean_nll);
  v("mean_nll_stderr", score.mean_nll_stderr);
  v("tokens", score.tokens);
  v.Among("mean_kl", score.agreement);
}

}  // namespace nashswarm::evaluate

#endif  // NASHSWARM_CORE_EVALUATE_SCORE_FIELDS_H_
