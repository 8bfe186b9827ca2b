// evaluation.json: what EVALUATE measured on the artifact.
#ifndef NASHSWARM_CORE_PIPELINE_EVALUATION_H_
#define NASHSWARM_CORE_PIPELINE_EVALUATION_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/calibrate/calibration.h"
#include "core/evaluate/score.h"

namespace nashswarm::pipeline {

// A preset of llama.cpp, by our encoders.
struct PresetScore {
  std::string name;       // "Q3_K_M"
  uint64_t bytes = 0;     // of its file
  bool weighted = false;  // encoded with an importance matrix, of the calibration's inputs
  evaluate::Score score;  // against the checkpoint
};

struct Evaluation {
  std::string sha256;     // hex, of the model.gguf that was run
  evaluate::Score score;  // against the checkpoint
  std::optional<PresetScore> preset = {};  // nearest in size; absent for models too large to hold as floats, or with losses that are not finite
};

absl::StatusOr<Evaluation> ReadEvaluation(const std::string& in_dir);

// The "quality" of a job's result (core/engine/README.md).
Json QualityJson(const Evaluation& evaluation, const calibrate::Calibration& calibration);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_EVALUATION_H_
