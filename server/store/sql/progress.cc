// SqlJobStore: how far a job is, and when it will end.
#include <algorithm>
#include <optional>

#include "google/protobuf/duration.pb.h"
#include "server/store/sql/rows.h"

namespace nashswarm::server {

using sql::Connection;
using sql::Query;

namespace {

// Below this share of the work a remaining time would be a guess.
constexpr double kMinShareForEta = 0.05;

// The first stage that has an unfinished task is the last one that has tasks at all.
struct CurrentStage {
  Stage stage = v1::Job::STAGE_UNSPECIFIED;
  int64_t done = 0, total = 0;  // weights or tokens
  int64_t sized = 0;            // its tasks that have said their total
  int64_t reused = 0;           // and those that never will
  int64_t claimed_us = 0;       // its first claim; 0: not yet
  int64_t measure_us = 0;       // the first claim of MEASURE
};

bool FansOut(Stage stage) { return stage == v1::Job::MEASURE || stage == v1::Job::ENCODE; }

double Share(int64_t done, int64_t total) {
  return total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
}

// The share of the job's work that was done since `*since_us`; nullopt while nobody can know. What a calibration or an
// evaluation takes does not follow from what the passes over the weights take: before them there is no telling.
std::optional<double> ShareDone(const CurrentStage& now, const JobPlan& plan, int64_t* since_us) {
  *since_us = plan.started_us;
  if (plan.evaluates) {
    if (now.stage != v1::Job::EVALUATE) return std::nullopt;
    *since_us = std::max(*since_us, now.claimed_us);
    return Share(now.done, now.total);
  }
  if (plan.calibrates) {
    if (now.stage < v1::Job::MEASURE) return std::nullopt;
    *since_us = std::max(*since_us, now.measure_us);
  }
  if (plan.search_rounds > 0) return std::nullopt;  // what it took says nothing about encoding
  if (plan.stage_weights == 0 || now.stage >= v1::Job::PUBLISH) return std::nullopt;
  // Both passes over the weights (measure, encode) are nearly all of the time.
  const double passes = now.stage > v1::Job::MEASURE ? 1 : 0;
  return (passes + (FansOut(now.stage) ? Share(now.done, now.total) : 0)) / 2;
}

absl::Status SetEta(Connection& db, const CurrentStage& now, const JobPlan& plan, v1::Job::Progress* progress) {
  int64_t since_us = 0;
  const std::optional<double> share = ShareDone(now, plan, &since_us);
  if (plan.started_us == 0 || !share.has_value() || *share < kMinShareForEta) return absl::OkStatus();
  NS_ASSIGN_OR_RETURN(const int64_t now_us, Now(db));
  const double elapsed_us = static_cast<double>(now_us - since_us);
  if (elapsed_us <= 0) return absl::OkStatus();
  const double left_us = elapsed_us * std::max(1 - *share, 0.0) / *share;
  progress->mutable_eta()->set_seconds(static_cast<int64_t>(left_us / 1e6) + 1);
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadProgress(Connection& db, const std::string& id, const JobPlan& plan, v1::Job::Progress* progress) {
  CurrentStage now;
  int64_t tasks = 0;
  {
    Query query = db.Select(
        "SELECT stage, count(*), count(CASE WHEN state = 'succeeded' THEN 1 END), sum(weights_done), sum(weights_total), "
        "min(claimed_us), count(CASE WHEN weights_total > 0 THEN 1 END), "
        "count(CASE WHEN state = 'succeeded' AND weights_total = 0 THEN 1 END) "
        "FROM tasks WHERE job_id = ? GROUP BY stage ORDER BY stage",
        id);
    while (query.Next()) {
      now.stage = static_cast<Stage>(query.Int(0));
      tasks += query.Int(1);
      progress->set_tasks_done(progress->tasks_done() + query.Int(2));
      now.done = query.Int(3);
      now.total = query.Int(4);
      now.claimed_us = query.IsNull(5) ? 0 : query.Int(5);
      now.sized = query.Int(6);
      now.reused = query.Int(7);
      if (now.stage == v1::Job::MEASURE) now.measure_us = now.claimed_us;
    }
    NS_RETURN_IF_ERROR(query.status());
  }
  if (now.stage == v1::Job::STAGE_UNSPECIFIED) return absl::OkStatus();
  // Tasks of the fan-out say their weights only once they run.
  if (FansOut(now.stage)) now.total = std::max(now.total, plan.stage_weights);
  // A search's rounds begin one after another: those to come are taken to be like the others.
  if (now.stage == v1::Job::SEARCH && now.sized > 0) {
    now.total = now.total / now.sized * (plan.search_rounds - now.reused);
  }
  progress->set_stage(now.stage);
  if (plan.shards > 0) {
    const int64_t ones = 3 + (plan.calibrates ? 1 : 0) + (plan.evaluates ? 1 : 0);  // 3: prepare, solve and publish
    progress->set_tasks_total(std::max(tasks, ones + 2 * plan.shards + plan.search_rounds));
  }
  progress->set_weights_total(now.total);
  progress->set_weights_done(now.done);
  {
    Query query = db.Select(
        "SELECT tensor FROM tasks WHERE job_id = ? AND state = 'running' AND tensor <> '' "
        "ORDER BY updated_us DESC LIMIT 1",
        id);
    if (query.Next()) progress->set_current_tensor(query.Text(0));
    NS_RETURN_IF_ERROR(query.status());
  }
  return SetEta(db, now, plan, progress);
}

}  // namespace nashswarm::server
