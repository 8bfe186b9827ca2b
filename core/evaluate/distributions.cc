#include "core/evaluate/distributions.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/evaluate/distributions.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::evaluate {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Floats are summed over this many values, then added up as doubles: long rows lose nothing.
constexpr size_t kRun = 512;

float LargestOf(const float* x, size_t n) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  float largest = x[0];
  size_t i = 0;
  if (n >= lanes) {
    auto top = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) top = hn::Max(top, hn::LoadU(d, x + i));
    largest = hn::GetLane(hn::MaxOfLanes(d, top));
  }
  for (; i < n; ++i) largest = std::max(largest, x[i]);
  return largest;
}

double SumOfExp(const float* x, size_t n, float shift) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto minus = hn::Set(d, shift);
  double sum = 0;
  size_t i = 0;
  while (i + lanes <= n) {
    auto run = hn::Zero(d);
    for (const size_t end = std::min(i + kRun, n); i + lanes <= end; i += lanes) {
      run = hn::Add(run, hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), minus)));
    }
    sum += hn::GetLane(hn::SumOfLanes(d, run));
  }
  for (; i < n; ++i) sum += std::exp(x[i] - shift);
  return sum;
}

// sum exp(p - p_log_sum) * (p - q - offset)
double SumOfDifferences(const float* p, const float* q, size_t n, float p_log_sum, float offset) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto normalizer = hn::Set(d, p_log_sum), shift = hn::Set(d, offset);
  double sum = 0;
  size_t i = 0;
  while (i + lanes <= n) {
    auto run = hn::Zero(d);
    for (const size_t end = std::min(i + kRun, n); i + lanes <= end; i += lanes) {
      const auto a = hn::LoadU(d, p + i);
      const auto probability = hn::Exp(d, hn::Sub(a, normalizer));
      run = hn::Add(run, hn::Mul(probability, hn::Sub(hn::Sub(a, hn::LoadU(d, q + i)), shift)));
    }
    sum += hn::GetLane(hn::SumOfLanes(d, run));
  }
  for (; i < n; ++i) sum += std::exp(p[i] - p_log_sum) * (p[i] - q[i] - offset);
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::evaluate
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nashswarm::evaluate {

HWY_EXPORT(LargestOf);
HWY_EXPORT(SumOfExp);
HWY_EXPORT(SumOfDifferences);

Normalizer Normalize(absl::Span<const float> logits) {
  const float largest = HWY_DYNAMIC_DISPATCH(LargestOf)(logits.data(), logits.size());
  const double sum = HWY_DYNAMIC_DISPATCH(SumOfExp)(logits.data(), logits.size(), largest);
  const auto top = std::find(logits.begin(), logits.end(), largest);
  return {largest + std::log(sum), static_cast<uint32_t>(top - logits.begin())};
}

double KlDivergence(absl::Span<const float> p_logits, const Normalizer& p, absl::Span<const float> q_logits,
                    const Normalizer& q) {
  // p - q first: near one another they cancel exactly, where each minus its own normalizer would round. The probabilities
  // sum to 1 only nearly in floats, so what the offset's rounding leaves is put right in double.
  const float offset = static_cast<float>(p.log_sum - q.log_sum);
  const double sum = HWY_DYNAMIC_DISPATCH(SumOfDifferences)(p_logits.data(), q_logits.data(), p_logits.size(),
                                                            static_cast<float>(p.log_sum), offset);
  return std::max(0.0, sum + (static_cast<double>(offset) - (p.log_sum - q.log_sum)));
}

Normalizer NormalizePlain(absl::Span<const float> logits) {
  const auto top = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - *top);
  return {*top + std::log(sum), static_cast<uint32_t>(top - logits.begin())};
}

double KlDivergencePlain(absl::Span<const float> p_logits, absl::Span<const float> q_logits) {
  const double p = NormalizePlain(p_logits).log_sum, q = NormalizePlain(q_logits).log_sum;
  double sum = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p;
    sum += std::exp(log_p) * (log_p - (q_logits[i] - q));
  }
  return sum;
}

}  // namespace nashswarm::evaluate
#endif  // HWY_ONCE
