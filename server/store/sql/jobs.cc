// SqlStore: jobs as their users see them.
#include <algorithm>

#include "server/stages/job_spec.h"
#include "server/store/disk_room.h"
#include "server/store/ids.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/rows.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::MaybeBlob;
using sql::MaybeText;
using sql::Query;

namespace {

// What the database keeps of a job and its first task beside the spec.
constexpr int64_t kRowBytes = 2000;

absl::Status JobError(const char* reason, const std::string& id, v1::Job::State state, const std::string& hint) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                   absl::StrCat("jobs/", id, " is ", v1::Job::State_Name(state)), hint);
}

bool Ended(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED || state == v1::Job::CANCELLED;
}

absl::Status CheckQueueLimits(Connection& db, const JobStore::NewJob& job) {
  Query query = db.Select(
      "SELECT count(*), coalesce(sum(CASE WHEN tenant = ? THEN 1 ELSE 0 END), 0) FROM jobs WHERE state = 1", job.tenant);
  if (!query.Next()) return query.status();
  const int64_t all = query.Int(0), own = query.Int(1);
  if (job.max_tenant_queued_jobs > 0 && own >= job.max_tenant_queued_jobs) {
    return MakeError(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
                     absl::StrCat("you have ", own, " jobs waiting, the limit is ", job.max_tenant_queued_jobs),
                     "try again when some have started, or cancel some");
  }
  if (all < job.max_queued_jobs) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                   absl::StrCat(all, " jobs are waiting already, the limit is ", job.max_queued_jobs),
                   "try again when some have started, or cancel some");
}

// The data file that a job's spec names: its content, if it is there and is data.
absl::StatusOr<std::string> FindData(Connection& db, const std::string& tenant, const DataReference& reference) {
  const absl::StatusOr<v1::Model> model = LoadModel(db, tenant, IdOf(reference.model));
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

absl::Status CheckIsCheckpoint(Connection& db, const std::string& tenant, const std::string& id) {
  NS_ASSIGN_OR_RETURN(const v1::Model model, LoadModel(db, tenant, id));
  if (model.kind() != v1::Model::DATA) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_CHECKPOINT",
                   absl::StrCat(model.name(), " is a data file, and a job works on a checkpoint"),
                   "name a checkpoint; nashswarm models list shows the kind of each");
}

absl::Status InsertData(Connection& db, const std::string& tenant, const std::string& job_id,
                        const v1::CompressionSpec& spec) {
  for (const DataReference& reference : DataReferences(spec)) {
    NS_ASSIGN_OR_RETURN(const std::string sha256, FindData(db, tenant, reference));
    NS_RETURN_IF_ERROR(db.Execute("INSERT INTO job_data (job_id, purpose, model_id, sha256) VALUES (?, ?, ?, ?)", job_id,
                                  reference.purpose, IdOf(reference.model), Blob{sha256})
                           .status());
  }
  return absl::OkStatus();
}

// Finished tasks are kept over a retry, so the data they have read must still be what it was.
absl::Status CheckDataUnchanged(Connection& db, const std::string& tenant, const std::string& job_id,
                                const v1::CompressionSpec& spec) {
  for (const DataReference& reference : DataReferences(spec)) {
    NS_ASSIGN_OR_RETURN(const std::string now, FindData(db, tenant, reference));
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

absl::Status ParseSpec(const std::string& bytes, const std::string& job_id, v1::CompressionSpec* spec) {
  if (spec->ParseFromString(bytes)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "DATABASE_CORRUPT",
                   absl::StrCat("jobs/", job_id, ": what the database holds of its spec cannot be read"),
                   absl::StrCat("delete the job (nashswarm jobs delete ", job_id, ") and submit it again"));
}

absl::StatusOr<v1::Job> LoadJob(Connection& db, const std::string& tenant, const std::string& id) {
  v1::Job job;
  JobPlan plan;
  {
    Query query = db.Select(
        "SELECT model_id, spec, state, cancel_requested, priority, result, error, created_us, started_us, finished_us, "
        "labels, shards, stage_weights, search_rounds, traceparent FROM jobs WHERE id = ? AND tenant = ?",
        id, tenant);
    if (!query.Next()) return query.status().ok() ? NotFound("jobs", id) : query.status();
    job.set_name(NameOf("jobs", id));
    job.set_model(NameOf("models", query.Text(0)));
    NS_RETURN_IF_ERROR(ParseSpec(query.Bytes(1), id, job.mutable_spec()));
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
    plan.shape = {static_cast<int>(query.Int(11)), static_cast<int>(query.Int(13))};
    plan.stage_weights = query.Int(12);
    job.set_traceparent(query.Text(14));
  }
  NS_RETURN_IF_ERROR(LoadProgress(db, id, plan, &job));
  return job;
}

absl::StatusOr<v1::Job> SqlStore::CreateJob(const NewJob& request) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<v1::Job> {
    const std::string& tenant = request.tenant;
    NS_ASSIGN_OR_RETURN(const std::string known,
                        FindByRequestId(db, "jobs", tenant, request.request_id, request.request_digest));
    if (!known.empty()) return LoadJob(db, tenant, known);
    NS_RETURN_IF_ERROR(CheckIsCheckpoint(db, tenant, request.model_id));
    NS_RETURN_IF_ERROR(CheckQueueLimits(db, request));
    NS_RETURN_IF_ERROR(CheckStoredBytes(db, tenant, 0, request.max_stored_bytes));
    const auto bytes = static_cast<int64_t>(request.spec.ByteSizeLong()) + kRowBytes;
    if (bytes > request.room_bytes) return NoRoom("the job", bytes, request.room_bytes);
    NS_ASSIGN_OR_RETURN(const int64_t now_us, Now(db));
    const std::string id = NewId(now_us);
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO jobs (id, tenant, model_id, spec, request_id, request_digest, state, priority, "
                   "max_attempts, labels, traceparent, created_us) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, now_us())",
                   id, tenant, request.model_id, Blob{request.spec.SerializeAsString()}, MaybeText{request.request_id},
                   MaybeBlob{request.request_digest}, request.priority, request.max_attempts,
                   LabelsToJson(request.labels), request.traceparent)
            .status());
    NS_RETURN_IF_ERROR(InsertData(db, tenant, id, request.spec));
    NS_RETURN_IF_ERROR(InsertTask(db, id, request.first_task));
    return LoadJob(db, tenant, id);
  });
}

absl::StatusOr<v1::Job> SqlStore::GetJob(const std::string& tenant, const std::string& id) {
  return database_->Read([&](Connection& db) { return LoadJob(db, tenant, id); });
}

absl::StatusOr<Page<v1::Job>> SqlStore::ListJobs(const std::string& tenant, const PageRequest& request,
                                                    v1::Job::State state) {
  const std::string filter =
      state == v1::Job::STATE_UNSPECIFIED ? "" : absl::StrCat("AND state = ", static_cast<int>(state));
  return database_->Read(
      [&](Connection& db) { return LoadPage<v1::Job>(db, "jobs", tenant, filter, request, LoadJob); });
}

absl::StatusOr<v1::Job> SqlStore::CancelJob(const std::string& tenant, const std::string& id) {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<v1::Job> {
    NS_ASSIGN_OR_RETURN(const v1::Job job, LoadJob(db, tenant, id));
    if (job.state() == v1::Job::CANCELLED) return job;
    if (Ended(job.state())) return JobError("JOB_ENDED", id, job.state(), "only a job that has not ended can be cancelled");
    // Tasks before their job, here as everywhere: two transactions that lock in one order do not wait for each other.
    NS_RETURN_IF_ERROR(CancelPendingTasks(db, id));
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", id).status());
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 5, finished_us = now_us(), error = NULL WHERE id = ? AND "
                                  "NOT EXISTS (SELECT 1 FROM tasks WHERE job_id = ? AND state = 'running')",
                                  id, id)
                           .status());
    return LoadJob(db, tenant, id);
  });
}

absl::StatusOr<v1::Job> SqlStore::RetryJob(const std::string& tenant, const std::string& id) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<v1::Job> {
    NS_ASSIGN_OR_RETURN(const v1::Job job, LoadJob(db, tenant, id));
    if (job.state() != v1::Job::FAILED && job.state() != v1::Job::CANCELLED) {
      return JobError("JOB_NOT_RETRIABLE", id, job.state(), "only a FAILED or CANCELLED job can be retried");
    }
    // Deleted meanwhile: nothing to retry on.
    NS_RETURN_IF_ERROR(LoadModel(db, tenant, IdOf(job.model())).status());
    NS_RETURN_IF_ERROR(CheckDataUnchanged(db, tenant, id, job.spec()));
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
    return LoadJob(db, tenant, id);
  });
}

absl::Status SqlStore::DeleteJob(const std::string& tenant, const std::string& id) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    auto state = v1::Job::STATE_UNSPECIFIED;
    {
      // No more of it than this: one whose spec is lost can be deleted, too.
      Query query = db.Select("SELECT state FROM jobs WHERE id = ? AND tenant = ?", id, tenant);
      if (!query.Next()) return query.status().ok() ? NotFound("jobs", id) : query.status();
      state = static_cast<v1::Job::State>(query.Int(0));
    }
    if (!Ended(state)) {
      return JobError("JOB_NOT_ENDED", id, state, absl::StrCat("cancel it first: nashswarm jobs cancel ", id));
    }
    return db.Execute("DELETE FROM jobs WHERE id = ?", id).status();
  });
}

absl::StatusOr<std::vector<v1::JobEvent>> SqlStore::EventsAfter(const std::string& tenant, const std::string& id,
                                                                   int64_t after, int limit) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<v1::JobEvent>> {
    std::vector<v1::JobEvent> events;
    Query query = db.Select(
        "SELECT e.sequence, e.time_us, e.event FROM job_events e JOIN jobs j ON j.id = e.job_id WHERE e.job_id = ? AND "
        "j.tenant = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?",
        id, tenant, after, limit);
    while (query.Next()) {
      v1::JobEvent event;
      event.ParseFromString(query.Bytes(2));
      event.set_sequence(query.Int(0));
      SetTime(query.Int(1), event.mutable_time());
      events.push_back(std::move(event));
    }
    NS_RETURN_IF_ERROR(query.status());
    return events;
  });
}

absl::StatusOr<StoreStatistics> SqlStore::Statistics() {
  return database_->Read([&](Connection& db) -> absl::StatusOr<StoreStatistics> {
    StoreStatistics statistics;
    {
      Query query = db.Select("SELECT state, count(*) FROM jobs GROUP BY state");
      while (query.Next()) statistics.jobs[static_cast<v1::Job::State>(query.Int(0))] = query.Int(1);
      NS_RETURN_IF_ERROR(query.status());
    }
    {
      Query query = db.Select(
          "SELECT count(CASE WHEN state = 'pending' THEN 1 END), count(CASE WHEN state = 'running' THEN 1 END), "
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
    NS_RETURN_IF_ERROR(query.status());
    return statistics;
  });
}

}  // namespace nashswarm::server
