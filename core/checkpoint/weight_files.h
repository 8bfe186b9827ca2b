// Which safetensors files of a directory hold the model's weights, and what the directory is when none does: an adapter, a GGUF
// file, pickles.
#ifndef NASHSWARM_CORE_CHECKPOINT_WEIGHT_FILES_H_
#define NASHSWARM_CORE_CHECKPOINT_WEIGHT_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"

namespace nashswarm::checkpoint {

inline constexpr char kSingleFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";
inline constexpr char kAdapterConfig[] = "adapter_config.json";

struct WeightFiles {
  std::vector<std::string> names;  // in the directory, sorted
  Json weight_map;                 // of the index, tensor to file; null without one
};

// model.safetensors; else the shards of the index; else shards that number themselves complete (NAME-00001-of-00003); else the
// only *.safetensors there is. Nothing is opened but the index.
// DATA_LOSS / SHARD_MISSING (names those); INVALID_ARGUMENT / INDEX_INVALID; FAILED_PRECONDITION with
// ADAPTER_AS_SOURCE or GGUF_AS_SOURCE; NOT_FOUND with PICKLE_REFUSED or CHECKPOINT_NOT_FOUND.
absl::StatusOr<WeightFiles> FindWeightFiles(const std::string& directory);

// Why an adapter is no model, with the base that its adapter_config.json names. `what`: the file that tells.
absl::Status RefuseAdapter(const std::string& directory, const std::string& what);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_WEIGHT_FILES_H_
