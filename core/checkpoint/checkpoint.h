// A Hugging Face checkpoint directory: config.json, one or more safetensors files, and whatever else lies beside them.
#ifndef NASHSWARM_CORE_CHECKPOINT_CHECKPOINT_H_
#define NASHSWARM_CORE_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"

namespace nashswarm::checkpoint {

struct SourceTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  std::string file;                // relative to the directory
  uint64_t offset = 0;             // of the data in the file
  absl::Span<const uint8_t> data;  // into the mapping, valid as long as the Checkpoint

  uint64_t elements() const { return data.size() / BytesOf(dtype); }
};

// Opening maps the weight files and parses every header; no weight is read. Immutable, safe to share among threads.
class Checkpoint {
 public:
  // NOT_FOUND / CHECKPOINT_NOT_FOUND when there is no such directory; an error of FindWeightFiles; DATA_LOSS / LFS_POINTER;
  // FAILED_PRECONDITION / ADAPTER_AS_SOURCE; INVALID_ARGUMENT with SHARD_MISMATCH, TENSOR_DUPLICATE or a reason of ParseSafetensors.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const Json& config() const { return config_; }                   // config.json; an empty object when there is none
  absl::Span<const SourceTensor> tensors() const { return tensors_; }  // by file, then by position
  const SourceTensor* Find(std::string_view name) const;           // nullptr when absent
  uint64_t weight_bytes() const { return weight_bytes_; }          // of the weight files, headers included
  const std::vector<std::string>& warnings() const { return warnings_; }  // about what lies beside the weights

 private:
  Checkpoint() = default;
  absl::Status AddWeightFile(const std::string& file);
  absl::Status CheckIndex(const Json& weight_map) const;

  std::string directory_;
  Json config_ = Json::object();
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
  std::vector<SourceTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> by_name_;
  uint64_t weight_bytes_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_CHECKPOINT_H_
