// Files of one shard have a list "tensors" with every tensor of the shard, in order, each by its index into Prepared::tensors.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_SHARD_TENSORS_H_
#define NASHSWARM_CORE_PIPELINE_FILES_SHARD_TENSORS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/files/prepared.h"

namespace nashswarm::pipeline {

// INTERNAL / STAGE_FILE_INVALID otherwise.
template <typename Tensor>
absl::Status CheckShardTensors(const Prepared& prepared, int shard, const std::vector<Tensor>& tensors, const std::string& path) {
  NS_ASSIGN_OR_RETURN(const TensorRange range, prepared.Shard(shard));
  if (tensors.size() != range.size()) return FaultIn(path, {"tensors", "is not a list of the shard's tensors"});
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].tensor == range.first + i) continue;
    return FaultIn(path, {absl::StrCat("tensors[", i, "].tensor"), absl::StrCat("is not ", range.first + i)});
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_SHARD_TENSORS_H_
