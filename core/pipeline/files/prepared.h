// prepared.json: what PREPARE found out, for every later stage.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_PREPARED_H_
#define NASHSWARM_CORE_PIPELINE_FILES_PREPARED_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

struct PreparedTensor {
  std::string name, source;             // in GGUF, in the checkpoint
  std::string role;
  uint64_t rows = 0, row_weights = 0;
  bool vector = false;
  std::vector<quant::Format> formats;   // the strategies allowed; one alone leaves no choice. Empty: a step of a stream's
  // Of GGUF: the tensor of the file that holds it, and its place there. Experts of a layer share one, of one format, and are
  // neighbours in Prepared::tensors; others are alone in theirs.
  std::string stack;
  uint64_t place = 0, stack_size = 1;
  bool ends_stack() const { return place + 1 == stack_size; }
  size_t mapped = 0;                    // index into Model::tensors; not in the file (ReadPrepared)
  bool has_choice() const { return formats.size() != 1; }
  uint64_t weights() const { return rows * row_weights; }
  // What it takes of a GGUF file: every tensor of the file is aligned, which the last of a stack pays for.
  uint64_t AlignedBytes(quant::Format format) const;
};

// [first, last) of Prepared::tensors.
struct TensorRange {
  uint64_t first = 0, last = 0;
  uint64_t size() const { return last - first; }
};

struct Prepared {
  static constexpr char kFile[] = "prepared.json";
  static constexpr int kVersion = 1;

  std::string format;                           // of the artifact: "gguf" or "nsq"
  std::string model_name;                       // what people call the model: "SmolLM2-135M"
  std::string architecture;
  uint64_t parameters = 0;
  uint64_t source_weight_bytes = 0;
  uint64_t header_bytes = 0;                    // of the weight file but the tensors' own; of nsq: at most
  std::vector<PreparedTensor> tensors;          // in the order of the artifact
  std::vector<std::pair<uint64_t, uint64_t>> shards;  // [first, last) of tensors
  std::vector<std::string> warnings;

  // INVALID_ARGUMENT / SHARD_UNKNOWN when there is no such shard.
  absl::StatusOr<TensorRange> Shard(int shard) const;
  uint64_t WeightsOf(TensorRange range) const;

  // Errors: those of ReadJsonFile (core/base/json_file.h); STAGE_FILE_INVALID for shards that are not of these tensors too.
  static absl::StatusOr<Prepared> Read(const std::string& directory);
  absl::Status Write(const std::string& directory) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_PREPARED_H_
