// Puts the encoded shards together into the GGUF file the plan promised.
#ifndef NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_
#define NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/artifact/gguf_artifact.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

struct MeasuredError {
  double error = 0, energy = 0;
  double relative() const { return energy > 0 ? error / energy : 0; }
};

struct Assembled {
  artifact::WrittenFile file;
  std::vector<checkpoint::GgufTensor> tensors;
  std::vector<MeasuredError> errors;  // per tensor, as ENCODE measured them
};

// Writes `path` from the outputs of ENCODE. The same inputs give the same bytes. INTERNAL / ARTIFACT_SIZE when they are not
// as many as the plan promised.
absl::StatusOr<Assembled> AssembleGguf(const Task& task, const Prepared& prepared, const OpenModel& open, const Json& plan,
                                       const std::string& path, const std::function<void(uint64_t)>& progress);

absl::StatusOr<Json> ReadPlan(const std::string& in_dir);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_
