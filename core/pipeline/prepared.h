// prepared.json: what PREPARE found out, for every later stage.
#ifndef NASHSWARM_CORE_PIPELINE_PREPARED_H_
#define NASHSWARM_CORE_PIPELINE_PREPARED_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

// A checkpoint with its mapping; the mapping points into the checkpoint.
struct OpenModel {
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Model model;
};
absl::StatusOr<OpenModel> OpenAndMap(const std::string& directory);

struct PreparedTensor {
  std::string name, source;             // in GGUF, in the checkpoint
  std::string role;
  uint64_t rows = 0, row_weights = 0;
  bool vector = false;
  std::vector<quant::Format> formats;   // the strategies allowed; one alone leaves no choice
  uint64_t weights() const { return rows * row_weights; }
};

struct Prepared {
  std::string architecture;
  uint64_t parameters = 0;
  uint64_t source_weight_bytes = 0;
  uint64_t header_bytes = 0;                    // of the artifact, up to the tensor data
  std::vector<PreparedTensor> tensors;          // in the order of the artifact
  std::vector<std::pair<size_t, size_t>> shards;  // [first, last) of tensors
  std::vector<std::string> warnings;
};

Json ToJson(const Prepared& prepared);
absl::StatusOr<Prepared> ReadPrepared(const std::string& in_dir);

// The metadata of the artifact: hyperparameters and vocabulary.
absl::StatusOr<std::vector<checkpoint::GgufMetadata>> ArtifactMetadata(const OpenModel& open,
                                                                       std::vector<std::string>* warnings);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PREPARED_H_
