// Text from a model: greedy or sampled.
#ifndef NASHSWARM_CORE_FORWARD_GENERATE_H_
#define NASHSWARM_CORE_FORWARD_GENERATE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/forward/transformer.h"

namespace nashswarm::forward {

struct Sampling {
  double temperature = 1;  // 0: greedy
  int top_k = 0;           // 0: all
  double top_p = 1;        // in (0, 1]
  uint64_t seed = 0;
};

// Continues every prompt (all of equal, non-zero length) until it has `length` tokens in all. Sequences do not depend on
// each other's number: sequence i draws from its own generator, seeded with (seed, i). `progress` hears tokens made so
// far and may return an error to stop.
absl::StatusOr<std::vector<std::vector<int32_t>>> Generate(
    Transformer& transformer, const std::vector<std::vector<int32_t>>& prompts, uint64_t length, const Sampling& sampling,
    const std::function<absl::Status(uint64_t)>& progress);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_GENERATE_H_
