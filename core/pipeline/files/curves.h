// curves-<shard>.json: the rate-distortion curves that MEASURE found, of a shard's tensors.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_CURVES_H_
#define NASHSWARM_CORE_PIPELINE_FILES_CURVES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/pipeline/files/choice.h"
#include "core/pipeline/files/prepared.h"

namespace nashswarm::pipeline {

struct CurvePoint {
  Choice choice;
  uint64_t bytes = 0;         // of the tensor, without what aligns it
  double distortion = 0;      // relative squared error, >= 0
  bool exact = false;         // nothing was measured, since nothing is lost: the file says 0, not 0.0. Not read
};

struct TensorCurve {
  uint64_t tensor = 0;        // index into Prepared::tensors
  uint64_t non_finite = 0;    // weights that were NaN or infinite, and set to 0
  std::vector<CurvePoint> curve;
};

struct Curves {
  static constexpr int kVersion = 1;
  static std::string File(int shard);

  std::vector<TensorCurve> tensors;

  // Errors: those of ReadJsonFile (core/base/json_file.h); STAGE_FILE_INVALID too unless it has the tensors of the shard, in order,
  // and points for each.
  static absl::StatusOr<Curves> Read(const std::string& directory, int shard, const Prepared& prepared);
  absl::Status Write(const std::string& directory, int shard) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_CURVES_H_
