// The stage machine: which stage feeds which, what follows, and what the engine is told. Pure functions; the table in
// core/engine/README.md is their specification.
//   PREPARE -> [CALIBRATE] -> MEASURE x N -> SOLVE -> [SEARCH, SEARCH, ...] -> ENCODE x N -> [EVALUATE] -> PUBLISH
// The spec decides about CALIBRATE and EVALUATE, SOLVE's result about SEARCH: its rounds run one after another, each a task
// whose shard is its number, until there are as many as SOLVE said or one says that it was the last.
#ifndef NASHSWARM_SERVER_SCHEDULER_STAGES_H_
#define NASHSWARM_SERVER_SCHEDULER_STAGES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "server/store/job_store.h"

namespace nashswarm::server {

// More shards than any model has layers says the engine's answer is nonsense.
inline constexpr int kMaxShards = 4096;
// So do more rounds than any search needs to come to rest.
inline constexpr int kMaxSearchRounds = 64;

// How many tasks the stages of a job have; 0 while that is not known.
struct JobShape {
  int shards = 0;         // of MEASURE and ENCODE
  int search_rounds = 0;  // of SEARCH
};
// As the job's shape is once `task` has ended like this.
JobShape ShapeAfter(const ClaimedTask& task, const TaskFinish& finish);

NewTask FirstTask();
// The tasks that follow once every task of the stage has succeeded up to `shard`; none after PUBLISH.
std::vector<NewTask> NextTasks(Stage stage, int shard, const JobShape& shape, const v1::CompressionSpec& spec);
// The stages whose outputs `stage` reads. SEARCH reads those of its own earlier rounds.
std::vector<Stage> InputStages(Stage stage, const v1::CompressionSpec& spec);
// As the engine and the metrics call it: "prepare".
std::string StageName(Stage stage);
// Whether its progress counts tokens; the others count weights.
bool CountsTokens(Stage stage);
// Whether another job's identical task may reuse the outputs. ENCODE and PUBLISH are as large as the artifact, and
// keeping them would mean that deleting an artifact frees nothing; EVALUATE is about one artifact.
bool KeepsResult(Stage stage);

// The spec as the engine reads it.
Json SpecToJson(const v1::CompressionSpec& spec);

// What identifies the outputs of a task (raw SHA-256): engine, tenant, stage, shard, model content, inputs, and the
// parts of the spec and the content of the data files that the stage reads. No name of anything is part of it.
std::string TaskCacheKey(const std::string& engine_digest, const ClaimedTask& task,
                         const std::vector<TaskOutput>& inputs);

// Checks the engine's result line and its output names for `stage` and fills in what the store needs.
// INTERNAL / ENGINE_PROTOCOL when they are not what the protocol promises.
absl::Status ReadStageResult(Stage stage, int shard, const Json& result, const std::string& artifact_format,
                             TaskFinish* finish);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_STAGES_H_
