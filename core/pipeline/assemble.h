// Puts the encoded shards together into the weight file the plan promised.
#ifndef NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_
#define NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/artifact/gguf_artifact.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

struct AssembledTensor {
  std::string format;             // "Q4_K", "nsq", "F16"
  uint64_t bytes = 0;
  double bits_per_weight = 0;
  double error = 0, energy = 0;   // sums of squares, as ENCODE measured them
  double relative_error() const { return energy > 0 ? error / energy : 0; }
};

struct Assembled {
  std::string file_name;          // model.gguf or model.nsq
  artifact::WrittenFile file;
  std::vector<AssembledTensor> tensors;  // by index into Prepared::tensors, wherever they lie in the file
};

// Writes the weight file of the outputs of ENCODE into `directory`. The same inputs give the same bytes. INTERNAL /
// ARTIFACT_SIZE when they are not as many as the plan promised (or more, of a kind that cannot know).
absl::StatusOr<Assembled> AssembleWeights(const Task& task, const StageInputs& in, const Plan& plan, const std::string& directory,
                                          const std::function<void(uint64_t)>& progress);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_ASSEMBLE_H_
