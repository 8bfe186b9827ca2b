// Comparing next-token distributions, one row of logits at a time.
#ifndef NASHSWARM_CORE_EVALUATE_DISTRIBUTIONS_H_
#define NASHSWARM_CORE_EVALUATE_DISTRIBUTIONS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace nashswarm::evaluate {

// log(sum(exp(logits))), and where the largest is (the first of equal ones).
struct Normalizer {
  double log_sum = 0;
  uint32_t top = 0;
};
Normalizer Normalize(absl::Span<const float> logits);

// sum_i p_i (log p_i - log q_i) in nats, p and q the softmax of the two rows; never below 0 (rounding could take it there).
double KlDivergence(absl::Span<const float> p_logits, const Normalizer& p, absl::Span<const float> q_logits,
                    const Normalizer& q);

// The same in plain double arithmetic, for tests.
Normalizer NormalizePlain(absl::Span<const float> logits);
double KlDivergencePlain(absl::Span<const float> p_logits, absl::Span<const float> q_logits);

}  // namespace nashswarm::evaluate

#endif  // NASHSWARM_CORE_EVALUATE_DISTRIBUTIONS_H_
