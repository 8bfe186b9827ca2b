// SqlStore: how far a job is, and when it will end.
#include <algorithm>
#include <optional>
#include <vector>

#include "google/protobuf/duration.pb.h"
#include "server/store/sql/rows.h"

namespace nashswarm::server {

using sql::Connection;
using sql::Query;

namespace {

// Below this share of the work a remaining time would be a guess.
constexpr double kMinShareForEta = 0.05;

absl::StatusOr<std::vector<StageTasks>> LoadStageTasks(Connection& db, const std::string& id) {
  std::vector<StageTasks> stages;
  Query query = db.Select(
      "SELECT stage, count(*), count(CASE WHEN state = 'succeeded' THEN 1 END), sum(weights_done), sum(weights_total), "
      "min(claimed_us), count(CASE WHEN weights_total > 0 THEN 1 END), "
      "count(CASE WHEN state = 'succeeded' AND weights_total = 0 THEN 1 END) "
      "FROM tasks WHERE job_id = ? GROUP BY stage ORDER BY stage",
      id);
  while (query.Next()) {
    stages.push_back({.stage = static_cast<Stage>(query.Int(0)),
                      .count = query.Int(1),
                      .succeeded = query.Int(2),
                      .done = query.Int(3),
                      .total = query.Int(4),
                      .sized = query.Int(6),
                      .reused = query.Int(7),
                      .claimed_us = query.IsNull(5) ? 0 : query.Int(5)});
  }
  NS_RETURN_IF_ERROR(query.status());
  return stages;
}

absl::Status SetEta(Connection& db, const std::vector<StageTasks>& stages, const JobPlan& plan, v1::Job* job) {
  const std::optional<WorkDone> work = WorkDoneOf(stages, plan, job->spec());
  if (plan.started_us == 0 || !work.has_value() || work->share < kMinShareForEta) return absl::OkStatus();
  NS_ASSIGN_OR_RETURN(const int64_t now_us, Now(db));
  const double elapsed_us = static_cast<double>(now_us - work->since_us);
  if (elapsed_us <= 0) return absl::OkStatus();
  const double left_us = elapsed_us * std::max(1 - work->share, 0.0) / work->share;
  job->mutable_progress()->mutable_eta()->set_seconds(static_cast<int64_t>(left_us / 1e6) + 1);
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadProgress(Connection& db, const std::string& id, const JobPlan& plan, v1::Job* job) {
  v1::Job::Progress* progress = job->mutable_progress();
  NS_ASSIGN_OR_RETURN(const std::vector<StageTasks> stages, LoadStageTasks(db, id));
  if (stages.empty()) return absl::OkStatus();
  FillProgress(stages, plan, job->spec(), progress);
  {
    Query query = db.Select(
        "SELECT tensor FROM tasks WHERE job_id = ? AND state = 'running' AND tensor <> '' "
        "ORDER BY updated_us DESC LIMIT 1",
        id);
    if (query.Next()) progress->set_current_tensor(query.Text(0));
    NS_RETURN_IF_ERROR(query.status());
  }
  return SetEta(db, stages, plan, job);
}

}  // namespace nashswarm::server
