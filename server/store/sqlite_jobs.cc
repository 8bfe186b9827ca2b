// SqliteJobStore: jobs as their users see them.
#include <algorithm>

#include "google/protobuf/duration.pb.h"
#include "server/store/ids.h"
#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_rows.h"

namespace nashswarm::server {

using sqlite::Blob;
using sqlite::Connection;
using sqlite::MaybeBlob;
using sqlite::MaybeText;
using sqlite::Query;

namespace {

// Below this share of the work a remaining time would be a guess.
constexpr double kMinShareForEta = 0.05;

// Progress follows from the tasks. The current stage is the first that has an unfinished task.
absl::Status LoadProgress(Connection& db, const std::string& id, int64_t shards, int64_t stage_weights,
                          int64_t running_us, v1::Job::Progress* progress) {
  int64_t last_stage = 0, total = 0, partial_done = 0, partial_total = 0;
  {
    Query query = db.Select(
        "SELECT stage, count(*), sum(state = 'succeeded'), sum(weights_done), sum(weights_total) FROM tasks "
        "WHERE job_id = ? GROUP BY stage ORDER BY stage",
        id);
    while (query.Next()) {
      last_stage = query.Int(0);
      total += query.Int(1);
      progress->set_tasks_done(progress->tasks_done() + query.Int(2));
      partial_done = query.Int(3);
      partial_total = query.Int(4);
    }
    NS_RETURN_IF_ERROR(query.status());
  }
  if (last_stage == 0) return absl::OkStatus();
  progress->set_stage(static_cast<Stage>(last_stage));
  if (shards > 0) progress->set_tasks_total(std::max(total, 3 + 2 * shards));  // prepare, solve and publish are one each
  const bool fans_out = last_stage == v1::Job::MEASURE || last_stage == v1::Job::ENCODE;
  progress->set_weights_total(std::max(partial_total, fans_out ? stage_weights : 0));
  progress->set_weights_done(partial_done);
  {
    Query query = db.Select(
        "SELECT tensor FROM tasks WHERE job_id = ? AND state = 'running' AND tensor <> '' "
        "ORDER BY updated_us DESC LIMIT 1",
        id);
    if (query.Next()) progress->set_current_tensor(query.Text(0));
    NS_RETURN_IF_ERROR(query.status());
  }
  // Both passes over the weights (measure, encode) are nearly all of the time.
  if (stage_weights > 0 && running_us > 0 && last_stage < v1::Job::PUBLISH) {
    double passes = last_stage > v1::Job::MEASURE ? 1 : 0;
    if (fans_out) passes += static_cast<double>(partial_done) / static_cast<double>(progress->weights_total());
    const double share = passes / 2;
    if (share >= kMinShareForEta) {
      const double left_us = static_cast<double>(running_us) * (1 - share) / share;
      progress->mutable_eta()->set_seconds(static_cast<int64_t>(left_us / 1e6) + 1);
    }
  }
  return absl::OkStatus();
}

absl::Status JobError(const char* reason, const std::string& id, const v1::Job& job, const std::string& hint) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                   absl::StrCat("jobs/", id, " is ", v1::Job::State_Name(job.state())), hint);
}

bool Ended(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED || state == v1::Job::CANCELLED;
}

absl::Status CheckQueueLimit(Connection& db, int max_queued_jobs) {
  Query query = db.Select("SELECT count(*) FROM jobs WHERE state = 1");
  if (!query.Next()) return query.status();
  if (query.Int(0) < max_queued_jobs) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                   absl::StrCat(query.Int(0), " jobs are waiting already, the limit is ", max_queued_jobs),
                   "try again when some have started, or cancel some");
}

}  // namespace

absl::StatusOr<v1::Job> LoadJob(Connection& db, const std::string& id) {
  v1::Job job;
  int64_t shards = 0, stage_weights = 0, running_us = 0;
  {
    Query query = db.Select(
        "SELECT model_id, spec, state, cancel_requested, priority, result, error, created_us, started_us, finished_us, "
        "labels, shards, stage_weights, CASE WHEN state = 2 THEN now_us() - started_us ELSE 0 END "
        "FROM jobs WHERE id = ?",
        id);
    if (!query.Next()) return query.status().ok() ? NotFound("jobs", id) : query.status();
    job.set_name(NameOf("jobs", id));
    job.set_model(NameOf("models", query.Text(0)));
    job.mutable_spec()->ParseFromString(query.Bytes(1));
    job.set_state(static_cast<v1::Job::State>(query.Int(2)));
    job.set_cancel_requested(query.Int(3) != 0);
    job.set_priority(static_cast<int32_t>(query.Int(4)));
    if (!query.IsNull(5)) {
      job.mutable_result()->ParseFromString(query.Bytes(5));
    } else if (!query.IsNull(6)) {
      job.mutable_error()->ParseFromString(query.Bytes(6));
    }
    SetTime(query.Int(7), job.mutable_create_time());
    if (!query.IsNull(8)) SetTime(query.Int(8), job.mutable_start_time());
    if (!query.IsNull(9)) SetTime(query.Int(9), job.mutable_end_time());
    LabelsFromJson(query.Text(10), job.mutable_labels());
    shards = query.Int(11);
    stage_weights = query.Int(12);
    running_us = query.Int(13);
  }
  NS_RETURN_IF_ERROR(LoadProgress(db, id, shards, stage_weights, running_us, job.mutable_progress()));
  return job;
}

absl::StatusOr<v1::Job> SqliteJobStore::CreateJob(const NewJob& request) {
  v1::Job job;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const std::string known,
                        FindByRequestId(db, "jobs", request.request_id, request.request_digest));
    if (!known.empty()) {
      NS_ASSIGN_OR_RETURN(job, LoadJob(db, known));
      return absl::OkStatus();
    }
    NS_RETURN_IF_ERROR(LoadModel(db, request.model_id).status());
    NS_RETURN_IF_ERROR(CheckQueueLimit(db, request.max_queued_jobs));
    const std::string id = NewId(now_us_());
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO jobs (id, model_id, spec, request_id, request_digest, state, priority, max_attempts, "
                   "labels, created_us) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, now_us())",
                   id, request.model_id, Blob{request.spec.SerializeAsString()}, MaybeText{request.request_id},
                   MaybeBlob{request.request_digest}, request.priority, request.max_attempts,
                   LabelsToJson(request.labels))
            .status());
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO tasks (job_id, stage, shard, not_before_us, updated_us) VALUES (?, ?, ?, now_us(), "
                   "now_us())",
                   id, static_cast<int>(request.first_task.stage), request.first_task.shard)
            .status());
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<v1::Job> SqliteJobStore::GetJob(const std::string& id) {
  v1::Job job;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<Page<v1::Job>> SqliteJobStore::ListJobs(const PageRequest& request, v1::Job::State state) {
  Page<v1::Job> page;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    const std::string filter =
        state == v1::Job::STATE_UNSPECIFIED ? "" : absl::StrCat("AND state = ", static_cast<int>(state));
    NS_ASSIGN_OR_RETURN(page, LoadPage<v1::Job>(db, "jobs", filter, request,
                                                [&](const std::string& id) { return LoadJob(db, id); }));
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<v1::Job> SqliteJobStore::CancelJob(const std::string& id) {
  v1::Job job;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    if (job.state() == v1::Job::CANCELLED) return absl::OkStatus();
    if (Ended(job.state())) return JobError("JOB_ENDED", id, job, "only a job that has not ended can be cancelled");
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", id).status());
    NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET state = 'cancelled', updated_us = now_us() WHERE job_id = ? AND "
                                  "state = 'pending'",
                                  id)
                           .status());
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 5, finished_us = now_us(), error = NULL WHERE id = ? AND "
                                  "NOT EXISTS (SELECT 1 FROM tasks WHERE job_id = ? AND state = 'running')",
                                  id, id)
                           .status());
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<v1::Job> SqliteJobStore::RetryJob(const std::string& id) {
  v1::Job job;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    if (job.state() != v1::Job::FAILED && job.state() != v1::Job::CANCELLED) {
      return JobError("JOB_NOT_RETRIABLE", id, job, "only a FAILED or CANCELLED job can be retried");
    }
    NS_RETURN_IF_ERROR(LoadModel(db, job.model().substr(7)).status());  // deleted meanwhile: nothing to retry on
    // A worker of the old run may not have stopped yet: a new epoch fences it.
    NS_RETURN_IF_ERROR(
        db.Execute("UPDATE tasks SET state = 'pending', attempt = 0, losses = 0, not_before_us = now_us(), "
                   "lease_owner = NULL, lease_expires_us = NULL, lease_epoch = lease_epoch + 1, error = NULL, "
                   "weights_done = 0, tensor = '', updated_us = now_us() WHERE job_id = ? AND state <> 'succeeded'",
                   id)
            .status());
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 1, cancel_requested = 0, error = NULL, finished_us = NULL, "
                                  "started_us = NULL WHERE id = ?",
                                  id)
                           .status());
    NS_ASSIGN_OR_RETURN(job, LoadJob(db, id));
    return absl::OkStatus();
  }));
  return job;
}

absl::Status SqliteJobStore::DeleteJob(const std::string& id) {
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const v1::Job job, LoadJob(db, id));
    if (!Ended(job.state())) {
      return JobError("JOB_NOT_ENDED", id, job, absl::StrCat("cancel it first: nashswarm jobs cancel ", id));
    }
    return db.Execute("DELETE FROM jobs WHERE id = ?", id).status();
  });
}

absl::StatusOr<std::vector<v1::JobEvent>> SqliteJobStore::EventsAfter(const std::string& id, int64_t after, int limit) {
  std::vector<v1::JobEvent> events;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    Query query = db.Select(
        "SELECT sequence, time_us, event FROM job_events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        id, after, limit);
    while (query.Next()) {
      v1::JobEvent event;
      event.ParseFromString(query.Bytes(2));
      event.set_sequence(query.Int(0));
      SetTime(query.Int(1), event.mutable_time());
      events.push_back(std::move(event));
    }
    return query.status();
  }));
  return events;
}

absl::StatusOr<StoreStatistics> SqliteJobStore::Statistics() {
  StoreStatistics statistics;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    {
      Query query = db.Select("SELECT state, count(*) FROM jobs GROUP BY state");
      while (query.Next()) statistics.jobs[static_cast<v1::Job::State>(query.Int(0))] = query.Int(1);
      NS_RETURN_IF_ERROR(query.status());
    }
    {
      Query query = db.Select(
          "SELECT sum(state = 'pending'), sum(state = 'running'), "
          "max(CASE WHEN state = 'pending' THEN now_us() - not_before_us END) FROM tasks "
          "WHERE state IN ('pending', 'running')");
      if (query.Next()) {
        statistics.tasks_pending = query.Int(0);
        statistics.tasks_running = query.Int(1);
        statistics.oldest_pending_us = std::max<int64_t>(query.Int(2), 0);
      }
      NS_RETURN_IF_ERROR(query.status());
    }
    Query query = db.Select(
        "SELECT (SELECT count(*) FROM blobs), (SELECT coalesce(sum(size_bytes), 0) FROM blobs), "
        "(SELECT count(*) FROM models), (SELECT count(*) FROM artifacts), "
        "(SELECT count(*) FROM uploads WHERE state = 1)");
    if (query.Next()) {
      statistics.blobs = query.Int(0);
      statistics.blob_bytes = query.Int(1);
      statistics.models = query.Int(2);
      statistics.artifacts = query.Int(3);
      statistics.active_uploads = query.Int(4);
    }
    return query.status();
  }));
  return statistics;
}

}  // namespace nashswarm::server
