// How a job flows through its stages (stage.h): what comes first, what follows, what feeds what, and what a stage's end means. Pure
// functions over the table.
//   PREPARE -> [CALIBRATE] -> MEASURE x N -> SOLVE -> [SEARCH, SEARCH, ...] -> ENCODE x N -> [EVALUATE] -> PUBLISH
#ifndef NASHSWARM_SERVER_STAGES_FLOW_H_
#define NASHSWARM_SERVER_STAGES_FLOW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/stages/stage.h"

namespace nashswarm::server {

// How many tasks the stages of a job have; 0 while that is not known.
struct JobShape {
  int shards = 0;         // of each stage that is cut into shards
  int search_rounds = 0;  // of the stage that has rounds
};
// As the job's shape is once `task` has ended like this.
JobShape ShapeAfter(const ClaimedTask& task, const TaskFinish& finish);

NewTask FirstTask();
// The tasks that follow once every task of the stage has succeeded up to `shard`; none after the last stage.
std::vector<NewTask> NextTasks(Stage stage, int shard, const JobShape& shape, const v1::CompressionSpec& spec);
// How many tasks a job has in all.
int64_t TasksOf(const JobShape& shape, const v1::CompressionSpec& spec);
// The stages whose outputs `stage` reads in such a job.
std::vector<Stage> InputStages(Stage stage, const v1::CompressionSpec& spec);

// Checks the engine's result line and its output names for `stage` and fills in what the store needs.
// INTERNAL / ENGINE_PROTOCOL when they are not what the protocol promises.
absl::Status ReadStageResult(Stage stage, int shard, const Json& result, const std::string& artifact_format,
                             TaskFinish* finish);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_FLOW_H_
