// A checkpoint stored by a plain method known from published tables, as a file of its own, and back into a checkpoint: what the
// game is compared with, measured the same way.
#ifndef NASHSWARM_CORE_PIPELINE_BASELINE_FILE_H_
#define NASHSWARM_CORE_PIPELINE_BASELINE_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/pipeline/open_model.h"

namespace nashswarm::pipeline {

struct Baseline {
  enum class Method {
    kUniform,    // one range for the whole matrix (quant/baseline.h)
    kMagnitude,  // three classes of magnitude with 8, 4 and 2 bits; the map of the classes is entropy-coded
    kGroups,     // round to nearest in groups of a row, each with its least weight and its step as halves
  };
  std::string name;
  Method method = Method::kUniform;
  int bits = 4;        // not of kMagnitude
  uint64_t group = 0;  // of kGroups: weights; the last of a row may have fewer
};
std::vector<Baseline> Baselines();

// Writes `path`: a safetensors file with every matrix as bytes and every vector as F16, under the checkpoint's names.
absl::Status WriteBaseline(const OpenModel& open, const Baseline& baseline, const std::string& path, int threads);

// Decodes such a file of the checkpoint `open` into the checkpoint `directory`: model.safetensors as F32, and config.json. No
// tokenizer. DATA_LOSS / BASELINE_CORRUPT when it is not one.
absl::Status UnpackBaseline(const OpenModel& open, const Baseline& baseline, const std::string& path, const std::string& directory,
                            int threads);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_BASELINE_FILE_H_
