// What `compress` keeps between runs: the results of finished stages, in the data directory of its private server in the user's
// cache directory. Another target of the same model then begins where they end, and so does a run that was interrupted.
#ifndef NASHSWARM_CLIENT_CLI_STAGE_CACHE_H_
#define NASHSWARM_CLIENT_CLI_STAGE_CACHE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "client/cli/files.h"

namespace nashswarm::cli {

// The cache for one run, ours alone while this lives.
struct StageCache {
  std::string data;      // "": none, because of `why_not`
  std::string why_not;   // a sentence for the user; "" where there is nothing to say
  UniqueFd lock;
};

struct StageCacheRequest {
  std::function<const char*(const char*)> getenv;  // XDG_CACHE_HOME, HOME
  std::string server, engine;  // the programs: what others have kept is thrown away
  std::string instead;         // where the server's data lies otherwise
  int64_t model_bytes = 0;     // that the server holds while it works
};

// Takes the cache, unless another run has it, it cannot be made, or its disk is too full for the model and `instead` is on a roomier
// one. What a run of other programs, or of another version, has kept is removed.
StageCache TakeStageCache(const StageCacheRequest& request);

// Of the cache that is taken: puts what it holds aside, so that a server begins with nothing. False where that cannot be done.
bool SetStagesAside(const StageCache& cache);
// Has what was set aside back, in place of what has come since.
void RestoreStages(const StageCache& cache);
void DropStagesAside(const StageCache& cache);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_STAGE_CACHE_H_
