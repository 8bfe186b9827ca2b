#include "core/forward/blocks/expert_choices.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/forward/kernels.h"
#include "core/forward/row_steps.h"
#include "core/model/architecture.h"

namespace nashswarm::forward {
namespace {

// Of e^(row - greatest), in whole units of 2^-50: the same whatever the order of the experts, which a file may change, and
// finer than a float can tell. Each is at most 1, and 2^12 of them fit 63 bits.
float SumOfExponentials(const float* row, uint64_t experts, float greatest) {
  static_assert(model::kMaxExperts <= 1 << 12);
  constexpr double kUnits = 0x1p50;
  int64_t sum = 0;
  for (uint64_t e = 0; e < experts; ++e) sum += std::llrint(kUnits * double{std::exp(row[e] - greatest)});
  return static_cast<float>(static_cast<double>(sum) / kUnits);
}

}  // namespace

void RouterLogits(ThreadPool& pool, const Matrix& router, const float* normed, uint64_t tokens, float* logits) {
  ForRows(pool, tokens, [&](uint64_t token, int) {
    for (uint64_t e = 0; e < router.outputs; ++e) {
      logits[token * router.outputs + e] = ActiveKernels().dot(normed + token * router.inputs, &router.weight[e * router.inputs], router.inputs);
    }
  });
}

void ChooseGreatest(const float* logits, uint64_t tokens, uint64_t experts, uint64_t used, uint16_t* chosen) {
  std::vector<uint16_t> order(experts);
  for (uint64_t t = 0; t < tokens; ++t) {
    const float* row = logits + t * experts;
    std::iota(order.begin(), order.end(), uint16_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(used), order.end(),
                      [row](uint16_t a, uint16_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    std::copy_n(order.begin(), used, chosen + t * used);
  }
}

void WeighExperts(const float* logits, uint64_t experts, bool normalized, ExpertChoices* choices) {
  const uint64_t used = choices->used;
  choices->weight.resize(choices->tokens * used);
  for (uint64_t t = 0; t < choices->tokens; ++t) {
    const float* row = logits + t * experts;
    const uint16_t* expert = &choices->expert[t * used];
    float* weight = &choices->weight[t * used];
    const float greatest = *std::max_element(row, row + experts);
    float sum = normalized ? 0 : SumOfExponentials(row, experts, greatest);
    for (uint64_t s = 0; s < used; ++s) {
      weight[s] = std::exp(row[expert[s]] - greatest);
      if (normalized) sum += weight[s];
    }
    for (uint64_t s = 0; s < used; ++s) weight[s] /= sum;
  }
}

ExpertGroups GroupByExpert(const ExpertChoices& choices, uint64_t experts) {
  ExpertGroups groups;
  groups.first.assign(experts + 1, 0);
  for (const uint16_t expert : choices.expert) ++groups.first[expert + 1u];
  std::partial_sum(groups.first.begin(), groups.first.end(), groups.first.begin());
  groups.slot.resize(choices.expert.size());
  groups.place.resize(choices.expert.size());
  std::vector<uint64_t> next(groups.first.begin(), groups.first.end() - 1);
  for (uint64_t slot = 0; slot < choices.expert.size(); ++slot) {
    const uint64_t place = next[choices.expert[slot]]++;
    groups.slot[place] = slot;
    groups.place[slot] = place;
  }
  return groups;
}

}  // namespace nashswarm::forward
