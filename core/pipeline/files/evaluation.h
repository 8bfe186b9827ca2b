// evaluation.json: what EVALUATE measured on the artifact.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_EVALUATION_H_
#define NASHSWARM_CORE_PIPELINE_FILES_EVALUATION_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
  static constexpr char kFile[] = "evaluation.json";
  static constexpr int kVersion = 1;

  std::string sha256;     // hex, of the weight file that was run
  evaluate::Score score;  // with agreement, against the checkpoint
  std::optional<PresetScore> preset = {};  // the one nearest in size; absent for models too large to hold as floats, or with losses that are not
                                           // finite

  // Errors: those of ReadJsonFile (core/base/json_file.h).
  static absl::StatusOr<Evaluation> Read(const std::string& directory);
  absl::Status Write(const std::string& directory) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_EVALUATION_H_
