// SEARCH's result: whether this round was the last.
#include "server/stages/readers.h"

namespace nashswarm::server {

absl::Status ReadSearchResult(const StageResult& result, TaskFinish* finish) {
  if (JsonBool(result.json, "done", false)) finish->search_rounds = result.shard + 1;
  return absl::OkStatus();
}

}  // namespace nashswarm::server
