// Which experts of a mixture a token goes to, and how much each counts.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_EXPERT_CHOICES_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_EXPERT_CHOICES_H_

#include <cstdint>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/forward/matrix.h"

namespace nashswarm::forward {

// Who has which expert: `used` slots a token, in descending order of the router's logits.
struct ExpertChoices {
  uint64_t tokens = 0, used = 0;
  std::vector<uint16_t> expert;  // [tokens x used]
  std::vector<float> weight;     // p of each, [tokens x used]
};

// logits[tokens x experts] from rows of `router` [experts x width] and `normed` [tokens x width]. Each is a sum of its own, whatever
// row of the router it comes from: products of BLAS differ by where a row lies, and a file may order the experts anew.
void RouterLogits(ThreadPool& pool, const Matrix& router, const float* normed, uint64_t tokens, float* logits);
// The router's own choice: the `used` greatest logits of each row, the lower expert first where two are equal.
void ChooseGreatest(const float* logits, uint64_t tokens, uint64_t experts, uint64_t used, uint16_t* chosen);
// The weights of chosen experts, from logits [tokens x experts].
void WeighExperts(const float* logits, uint64_t experts, bool normalized, ExpertChoices* choices);

// Slots in the order of their experts: what expert e works on is [first[e], first[e + 1]) of `slot`.
struct ExpertGroups {
  std::vector<uint64_t> first;  // experts + 1
  std::vector<uint64_t> slot;   // an index into ExpertChoices; its token is slot / used
  std::vector<uint64_t> place;  // by slot: where it is in `slot`
};
ExpertGroups GroupByExpert(const ExpertChoices& choices, uint64_t experts);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_EXPERT_CHOICES_H_
