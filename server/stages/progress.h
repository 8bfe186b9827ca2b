// How far a job is, and what share of its work is done, from what its tasks have said. Pure functions over the table of stages.
#ifndef NASHSWARM_SERVER_STAGES_PROGRESS_H_
#define NASHSWARM_SERVER_STAGES_PROGRESS_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "server/stages/flow.h"

namespace nashswarm::server {

// What a job's row says about the work to come.
struct JobPlan {
  JobShape shape;
  int64_t stage_weights = 0;  // of one pass over the model; 0 while that is not known
  int64_t started_us = 0;     // 0 unless the job runs
};

// What the tasks of one stage say together.
struct StageTasks {
  Stage stage = v1::Job::STAGE_UNSPECIFIED;
  int64_t count = 0, succeeded = 0;
  int64_t done = 0, total = 0;  // in the stage's unit, of those that have said
  int64_t sized = 0;            // tasks that have said their total
  int64_t reused = 0;           // and those that never will
  int64_t claimed_us = 0;       // the first claim; 0: not yet
};

// All of `progress` but the tensor under way and the time that is left. `stages` are those that have tasks, in their order.
void FillProgress(absl::Span<const StageTasks> stages, const JobPlan& plan, const v1::CompressionSpec& spec,
                  v1::Job::Progress* progress);

struct WorkDone {
  double share = 0;      // of the work that counts, 0 to 1
  int64_t since_us = 0;  // when that work began
};
// nullopt while nobody can know.
std::optional<WorkDone> WorkDoneOf(absl::Span<const StageTasks> stages, const JobPlan& plan, const v1::CompressionSpec& spec);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_PROGRESS_H_
