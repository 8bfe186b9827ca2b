// What a user asks of a model, as the engine reads it from task.json (core/engine/README.md).
#ifndef NASHSWARM_CORE_PIPELINE_SPEC_H_
#define NASHSWARM_CORE_PIPELINE_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"

namespace nashswarm::pipeline {

struct Rule {
  std::string pattern;  // RE2, matched against the whole name of a tensor in the checkpoint
  std::string format;   // a format name, or "keep"
};

struct Spec {
  enum class Target { kBitsPerWeight, kSizeBytes, kRatio };
  Target target = Target::kBitsPerWeight;
  double bits_per_weight = 0;  // file bytes * 8 / parameters
  uint64_t size_bytes = 0;
  double ratio = 0;            // share of the FP32 bytes saved, in (0, 1)
  std::string format = "gguf";
  uint64_t seed = 0;
  std::vector<Rule> rules;     // first match wins
  bool zero_non_finite = false;

  // Bytes the whole weight file may have.
  uint64_t TargetBytes(uint64_t parameters) const;
};

// INVALID_ARGUMENT / SPEC_INVALID names the field.
absl::StatusOr<Spec> ParseSpec(const Json& json);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SPEC_H_
