#include "server/stages/progress.h"

#include <algorithm>

namespace nashswarm::server {
namespace {

bool PassesOverWeights(const StageRow& row) { return row.tasks == FanOut::kShards; }

// Its time does not follow from what a pass over the weights takes.
bool HasAPaceOfItsOwn(const StageRow& row) { return row.unit == Unit::kTokens; }

bool IsInJob(const StageRow& row, const JobShape& shape, const v1::CompressionSpec& spec) {
  return RunsIn(row, spec) && (row.tasks != FanOut::kRounds || shape.search_rounds > 0);
}

// What the stage's tasks will have done in all, as far as that can be said.
int64_t TotalOf(const StageTasks& tasks, const JobPlan& plan) {
  const StageRow& row = RowOf(tasks.stage);
  // Tasks of the fan-out say their weights only once they run.
  if (PassesOverWeights(row)) return std::max(tasks.total, plan.stage_weights);
  // Rounds begin one after another: those to come are taken to be like the others.
  if (row.tasks == FanOut::kRounds && tasks.sized > 0) {
    return tasks.total / tasks.sized * (plan.shape.search_rounds - tasks.reused);
  }
  return tasks.total;
}

double ShareOf(const StageTasks& tasks, const JobPlan& plan) {
  const int64_t total = TotalOf(tasks, plan);
  return total > 0 ? static_cast<double>(tasks.done) / static_cast<double>(total) : 0;
}

}  // namespace

void FillProgress(absl::Span<const StageTasks> stages, const JobPlan& plan, const v1::CompressionSpec& spec,
                  v1::Job::Progress* progress) {
  if (stages.empty()) return;
  int64_t tasks = 0, succeeded = 0;
  for (const StageTasks& stage : stages) {
    tasks += stage.count;
    succeeded += stage.succeeded;
  }
  // The first stage that has an unfinished task is the last one that has tasks at all.
  const StageTasks& now = stages.back();
  progress->set_stage(now.stage);
  progress->set_tasks_done(succeeded);
  if (plan.shape.shards > 0) progress->set_tasks_total(std::max(tasks, TasksOf(plan.shape, spec)));
  progress->set_weights_total(TotalOf(now, plan));
  progress->set_weights_done(now.done);
  progress->set_unit(std::string(UnitName(RowOf(now.stage).unit)));
}

std::optional<WorkDone> WorkDoneOf(absl::Span<const StageTasks> stages, const JobPlan& plan,
                                   const v1::CompressionSpec& spec) {
  if (stages.empty()) return std::nullopt;
  const StageTasks& now = stages.back();
  Stage first_pass = v1::Job::STAGE_UNSPECIFIED, last_pass = v1::Job::STAGE_UNSPECIFIED;
  int passes = 0, passes_done = 0;
  for (const StageRow& row : Stages()) {
    if (!PassesOverWeights(row)) continue;
    if (passes++ == 0) first_pass = row.stage;
    last_pass = row.stage;
    if (row.stage < now.stage) ++passes_done;
  }
  bool waits_for_passes = false, is_interrupted = false;
  for (const StageRow& row : Stages()) {
    if (!HasAPaceOfItsOwn(row) || !IsInJob(row, plan.shape, spec)) continue;
    if (row.stage > last_pass) {  // before it there is no telling
      if (now.stage != row.stage) return std::nullopt;
      return WorkDone{ShareOf(now, plan), std::max(plan.started_us, now.claimed_us)};
    }
    waits_for_passes |= row.stage < first_pass;
    is_interrupted |= row.stage > first_pass;
  }
  WorkDone work{.since_us = plan.started_us};
  if (waits_for_passes) {
    if (now.stage < first_pass) return std::nullopt;
    for (const StageTasks& stage : stages) {
      if (stage.stage == first_pass) work.since_us = std::max(work.since_us, stage.claimed_us);
    }
  }
  if (is_interrupted) return std::nullopt;  // what it took says nothing about the passes that are left
  if (plan.stage_weights == 0 || now.stage > last_pass) return std::nullopt;
  // The passes over the weights are nearly all of the time.
  work.share = (passes_done + (PassesOverWeights(RowOf(now.stage)) ? ShareOf(now, plan) : 0)) / passes;
  return work;
}

}  // namespace nashswarm::server
