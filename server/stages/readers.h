// What the stages' results say to the server: one function a stage, each in its own file, for the table of stages alone.
#ifndef NASHSWARM_SERVER_STAGES_READERS_H_
#define NASHSWARM_SERVER_STAGES_READERS_H_

#include "server/stages/stage.h"

namespace nashswarm::server {

// More shards than any model has layers says the engine's answer is nonsense.
inline constexpr int kMaxShards = 4096;
// So do more rounds than any search needs to come to rest.
inline constexpr int kMaxSearchRounds = 64;

absl::Status ReadPrepareResult(const StageResult& result, TaskFinish* finish);
absl::Status ReadSolveResult(const StageResult& result, TaskFinish* finish);
absl::Status ReadSearchResult(const StageResult& result, TaskFinish* finish);
absl::Status ReadPublishResult(const StageResult& result, TaskFinish* finish);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_READERS_H_
