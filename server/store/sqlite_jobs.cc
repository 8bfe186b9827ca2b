// SqliteJobStore: jobs as their users see them.
#include <algorithm>

#include "server/store/ids.h"
#include "server/store/job_spec.h"
#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_rows.h"

namespace nashswarm::server {

using sqlite::Blob;
using sqlite::Connection;
using sqlite::MaybeBlob;
using sqlite::MaybeText;
using sqlite::Query;

namespace {

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

// The data file that a job's spec names: its content, if it is there and is data.
absl::StatusOr<std::string> FindData(Connection& db, const DataReference& reference) {
  const absl::StatusOr<v1::Model> model = LoadModel(db, IdOf(reference.model));
  if (absl::IsNotFound(model.status())) {
    return MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
                     absl::StrCat("there is no ", reference.model, ", which the job names for its ", reference.purpose),
                     "push the file first: nashswarm push --data FILE");
  }
  NS_RETURN_IF_ERROR(model.status());
  if (model->kind() == v1::Model::DATA && model->files_size() == 1) return model->files(0).digest().sha256();
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_DATA",
                   absl::StrCat(reference.model, " is a checkpoint; the ", reference.purpose, " needs a data file"),
                   "push the file by itself: nashswarm push --data FILE");
}

absl::Status CheckIsCheckpoint(Connection& db, const std::string& id) {
  NS_ASSIGN_OR_RETURN(const v1::Model model, LoadModel(db, id));
  if (model.kind() != v1::Model::DATA) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_CHECKPOINT",
                   absl::StrCat(model.name(), " is a data file, and a job works on a checkpoint"),
                   "name a checkpoint; nashswarm models list shows the kind of each");
}

absl::Status InsertData(Connection& db, const std::string& job_id, const v1::CompressionSpec& spec) {
  for (const DataReference& reference : DataReferences(spec)) {
    NS_ASSIGN_OR_RETURN(const std::string sha256, FindData(db, reference));
    NS_RETURN_IF_ERROR(db.Execute("INSERT INTO job_data (job_id, purpose, model_id, sha256) VALUES (?, ?, ?, ?)", job_id,
                                  reference.purpose, IdOf(reference.model), Blob{sha256})
                           .status());
  }
  return absl::OkStatus();
}

// Finished tasks are kept over a retry, so the data they have read must still be what it was.
absl::Status CheckDataUnchanged(Connection& db, const std::string& job_id, const v1::CompressionSpec& spec) {
  for (const DataReference& reference : DataReferences(spec)) {
    NS_ASSIGN_OR_RETURN(const std::string now, FindData(db, reference));
    Query query = db.Select("SELECT sha256 FROM job_data WHERE job_id = ? AND purpose = ?", job_id, reference.purpose);
    if (query.Next() && query.Bytes(0) == now) continue;
    NS_RETURN_IF_ERROR(query.status());
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_CHANGED",
                     absl::StrCat(reference.model, ", the ", reference.purpose, " data of jobs/", job_id,
                                  ", has other content than when the job was made"),
                     "submit a new job instead");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Job> LoadJob(Connection& db, const std::string& id) {
  v1::Job job;
  JobPlan plan;
  {
    Query query = db.Select(
        "SELECT model_id, spec, state, cancel_requested, priority, result, error, created_us, started_us, finished_us, "
        "labels, shards, stage_weights, search_rounds FROM jobs WHERE id = ?",
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
    if (job.state() == v1::Job::RUNNING && !query.IsNull(8)) plan.started_us = query.Int(8);
    plan.shards = query.Int(11);
    plan.stage_weights = query.Int(12);
    plan.search_rounds = query.Int(13);
    plan.calibrates = Calibrates(job.spec());
    plan.evaluates = Evaluates(job.spec());
  }
  NS_RETURN_IF_ERROR(LoadProgress(db, id, plan, job.mutable_progress()));
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
    NS_RETURN_IF_ERROR(CheckIsCheckpoint(db, request.model_id));
    NS_RETURN_IF_ERROR(CheckQueueLimit(db, request.max_queued_jobs));
    const std::string id = NewId(now_us_());
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO jobs (id, model_id, spec, request_id, request_digest, state, priority, max_attempts, "
                   "labels, created_us) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, now_us())",
                   id, request.model_id, Blob{request.spec.SerializeAsString()}, MaybeText{request.request_id},
                   MaybeBlob{request.request_digest}, request.priority, request.max_attempts,
                   LabelsToJson(request.labels))
            .status());
    NS_RETURN_IF_ERROR(InsertData(db, id, request.spec));
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
    NS_RETURN_IF_ERROR(LoadModel(db, IdOf(job.model())).status());  // deleted meanwhile: nothing to retry on
    NS_RETURN_IF_ERROR(CheckDataUnchanged(db, id, job.spec()));
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
