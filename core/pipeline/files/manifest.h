// manifest.json of an artifact: what it was made of, how, and what came out.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_MANIFEST_H_
#define NASHSWARM_CORE_PIPELINE_FILES_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/pipeline/files/job_result.h"
#include "core/pipeline/files/plan.h"

namespace nashswarm::pipeline {

// The checkpoint.
struct ManifestSource {
  std::string name, digest;              // digest: hex, of the model's manifest
  uint64_t weight_bytes = 0;
  std::string architecture;
  uint64_t parameters = 0;
};

// The weight file.
struct ManifestFile {
  std::string file;                      // its name
  uint64_t bytes = 0;
  std::string sha256;                    // hex
};

struct ManifestTensor {
  double bits_per_weight = 0;
  uint64_t bytes = 0;
  std::string format;
  double loss_weight = 0;
  std::string name;                      // in the artifact, as GGUF would call it
  double relative_error = 0;
  std::string role;
  uint64_t row_weights = 0, rows = 0;
  std::string source;                    // in the checkpoint
  std::optional<std::string> stored_as;  // in the artifact, where that has the checkpoint's names and this is another's
};

struct Manifest {
  ManifestSource source;
  ManifestFile artifact;
  JobResult result;
  PlanSummary plan;
  std::vector<ManifestTensor> tensors;   // in the order of the file

  // With the schema's name, artifact::kManifestSchema, and the engine's version.
  absl::Status Write(const std::string& directory) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_MANIFEST_H_
