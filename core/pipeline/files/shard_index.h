// shard-<shard>.json: what ENCODE made of a shard's tensors, whose bytes are in shard-<shard>.bin.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_SHARD_INDEX_H_
#define NASHSWARM_CORE_PIPELINE_FILES_SHARD_INDEX_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/pipeline/files/prepared.h"

namespace nashswarm::pipeline {

// Of a tensor of an nsq artifact.
struct EncodedStream {
  double step = 0;               // it was coded with; 0: it is plain
  double distortion = 0;         // by its loss
  uint32_t crc32 = 0;            // of a plain tensor
};

struct EncodedTensor {
  uint64_t tensor = 0;           // index into Prepared::tensors
  uint64_t bytes = 0;            // without what aligns it
  double error = 0, energy = 0;  // sums of squares
  std::optional<EncodedStream> stream = {};
};

struct ShardIndex {
  static constexpr int kVersion = 1;
  static std::string File(int shard);
  static std::string DataFile(int shard);  // shard-<shard>.bin

  uint64_t bytes = 0;            // of the data file
  std::vector<EncodedTensor> tensors;

  // Errors: those of ReadJsonFile (core/base/json_file.h); STAGE_FILE_INVALID too unless it has the tensors of the shard, in order.
  static absl::StatusOr<ShardIndex> Read(const std::string& directory, int shard, const Prepared& prepared);
  absl::Status Write(const std::string& directory, int shard) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_SHARD_INDEX_H_
