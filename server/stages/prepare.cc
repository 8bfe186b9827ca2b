// PREPARE's result: into how many shards the model is cut, and the weights of one pass over it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/stages/readers.h"

namespace nashswarm::server {

absl::Status ReadPrepareResult(const StageResult& result, TaskFinish* finish) {
  const int64_t shards = JsonInt(result.json, "shards", 0);
  if (shards < 1 || shards > kMaxShards) {
    return ProtocolError(v1::Job::PREPARE, absl::StrCat("'shards' is ", shards, ", not 1 to ", kMaxShards));
  }
  finish->shards = static_cast<int>(shards);
  finish->stage_weights = std::max<int64_t>(JsonInt(result.json, "weights", 0), 0);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
