#include "server/stages/flow.h"

#include <algorithm>

#include "absl/strings/str_replace.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

int TaskCount(const StageRow& row, const JobShape& shape) {
  switch (row.tasks) {
    case FanOut::kShards:
      return shape.shards;
    case FanOut::kRounds:
      return shape.search_rounds;
    case FanOut::kOne:
      break;
  }
  return 1;
}

// All of a stage's tasks, but of rounds only the first.
std::vector<NewTask> Begin(const StageRow& row, const JobShape& shape) {
  const int count = row.tasks == FanOut::kRounds ? 1 : TaskCount(row, shape);
  std::vector<NewTask> tasks;
  for (int shard = 0; shard < count; ++shard) tasks.push_back({row.stage, shard});
  return tasks;
}

}  // namespace

JobShape ShapeAfter(const ClaimedTask& task, const TaskFinish& finish) {
  return {finish.shards > 0 ? finish.shards : task.shards, finish.search_rounds.value_or(task.search_rounds)};
}

NewTask FirstTask() { return {Stages().front().stage, 0}; }

std::vector<NewTask> NextTasks(Stage stage, int shard, const JobShape& shape, const v1::CompressionSpec& spec) {
  const StageRow& row = RowOf(stage);
  if (row.stage == v1::Job::STAGE_UNSPECIFIED) return {};
  if (row.tasks == FanOut::kRounds && shard + 1 < TaskCount(row, shape)) return {{stage, shard + 1}};
  for (const StageRow& next : Stages()) {
    const bool has_rounds = next.tasks != FanOut::kRounds || TaskCount(next, shape) > 0;
    if (next.stage > stage && has_rounds && RunsIn(next, spec)) return Begin(next, shape);
  }
  return {};
}

int64_t TasksOf(const JobShape& shape, const v1::CompressionSpec& spec) {
  int64_t tasks = 0;
  for (const StageRow& row : Stages()) {
    if (RunsIn(row, spec)) tasks += TaskCount(row, shape);
  }
  return tasks;
}

std::vector<Stage> InputStages(Stage stage, const v1::CompressionSpec& spec) {
  std::vector<Stage> stages;
  for (const Stage input : RowOf(stage).inputs) {
    if (RunsIn(RowOf(input), spec)) stages.push_back(input);
  }
  return stages;
}

absl::Status ReadStageResult(Stage stage, int shard, const Json& result, const std::string& artifact_format,
                             TaskFinish* finish) {
  const StageRow& row = RowOf(stage);
  for (const char* output : row.outputs) {
    const std::string name = absl::StrReplaceAll(output, {{"#", absl::StrCat(shard)}});
    const bool there = std::any_of(finish->outputs.begin(), finish->outputs.end(),
                                   [&](const TaskOutput& left) { return left.name == name; });
    if (!there) return ProtocolError(stage, absl::StrCat("it ended well but left no '", name, "'"));
  }
  return row.reader == nullptr ? absl::OkStatus() : row.reader({shard, result, artifact_format}, finish);
}

}  // namespace nashswarm::server
