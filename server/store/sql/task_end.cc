// SqlStore: how a task ends, and what that does to its job, in one transaction.
#include <algorithm>

#include "server/store/error_proto.h"
#include "server/store/ids.h"
#include "server/store/sql/fence.h"
#include "server/store/sql/rows.h"
#include "server/store/sql/sql_store.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::MaybeBlob;
using sql::Query;

absl::Status CancelPendingTasks(Connection& db, const std::string& job_id) {
  return db
      .Execute("UPDATE tasks SET state = 'cancelled', updated_us = now_us() WHERE job_id = ? AND state = 'pending'",
               job_id)
      .status();
}

namespace {

struct JobRow {
  v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
  bool cancel_requested = false;
  int max_attempts = 0;
  std::string model_id, tenant;
};

absl::StatusOr<JobRow> LoadJobRow(Connection& db, const std::string& id) {
  Query query = db.Select("SELECT state, cancel_requested, max_attempts, model_id, tenant FROM jobs WHERE id = ?", id);
  if (!query.Next()) return query.status().ok() ? NotFound("jobs", id) : query.status();
  return JobRow{static_cast<v1::Job::State>(query.Int(0)), query.Int(1) != 0, static_cast<int>(query.Int(2)),
                query.Text(3), query.Text(4)};
}

bool Live(const JobRow& job) { return job.state == v1::Job::QUEUED || job.state == v1::Job::RUNNING; }

// running -> `state`, if `lease` still holds the task.
absl::Status LeaveRunning(Connection& db, const TaskLease& lease, const char* state) {
  static const std::string kLeave =
      absl::StrCat("UPDATE tasks SET state = ?, lease_owner = NULL, lease_expires_us = NULL, tensor = '', "
                   "updated_us = now_us() WHERE job_id = ? AND stage = ? AND shard = ? AND ",
                   sql::kTaskFence);
  NS_ASSIGN_OR_RETURN(const int64_t updated,
                      db.Execute(kLeave.c_str(), state, lease.key.job_id, static_cast<int>(lease.key.stage),
                                 lease.key.shard, lease.epoch, lease.owner));
  return updated == 1 ? absl::OkStatus() : FencedError(lease);
}

// What the end of a task did to its job, which was `before`.
absl::StatusOr<TaskEnd> Settled(Connection& db, const std::string& job_id, const JobRow& before) {
  Query query = db.Select("SELECT state, created_us, finished_us FROM jobs WHERE id = ?", job_id);
  if (!query.Next()) return query.status();
  TaskEnd end;
  end.job_state = static_cast<v1::Job::State>(query.Int(0));
  const bool ended = !query.IsNull(2);
  if (ended) end.job_duration_us = query.Int(2) - query.Int(1);
  end.job_ended = ended && Live(before);
  return end;
}

absl::Status GiveAttemptBack(Connection& db, const TaskKey& key) {
  return db
      .Execute("UPDATE tasks SET attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END, not_before_us = now_us() "
               "WHERE job_id = ? AND stage = ? AND shard = ?",
               key.job_id, static_cast<int>(key.stage), key.shard)
      .status();
}

// The last running task of a cancelled job ends the job.
absl::Status EndIfCancelled(Connection& db, const std::string& job_id) {
  NS_RETURN_IF_ERROR(CancelPendingTasks(db, job_id));
  return db
      .Execute("UPDATE jobs SET state = 5, finished_us = now_us(), error = NULL WHERE id = ? AND state IN (1, 2) AND "
               "NOT EXISTS (SELECT 1 FROM tasks WHERE job_id = ? AND state = 'running')",
               job_id, job_id)
      .status();
}

absl::Status FailJob(Connection& db, const std::string& job_id, const v1::Error& error) {
  NS_RETURN_IF_ERROR(CancelPendingTasks(db, job_id));
  return db
      .Execute("UPDATE jobs SET state = 4, finished_us = now_us(), error = ? WHERE id = ? AND state IN (1, 2)",
               Blob{error.SerializeAsString()}, job_id)
      .status();
}

absl::Status StoreOutputs(Connection& db, const TaskKey& key, const std::string& tenant, const TaskFinish& finish) {
  NS_RETURN_IF_ERROR(db.Execute("DELETE FROM task_outputs WHERE job_id = ? AND stage = ? AND shard = ?", key.job_id,
                                static_cast<int>(key.stage), key.shard)
                         .status());
  for (const TaskOutput& output : finish.outputs) {
    NS_RETURN_IF_ERROR(db.Execute("INSERT INTO task_outputs (job_id, stage, shard, name, blob) VALUES (?, ?, ?, ?, ?)",
                                  key.job_id, static_cast<int>(key.stage), key.shard, output.name,
                                  Blob{output.digest.sha256})
                           .status());
  }
  NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET result = ?, error = NULL, weights_done = weights_total WHERE "
                                "job_id = ? AND stage = ? AND shard = ?",
                                finish.result_json, key.job_id, static_cast<int>(key.stage), key.shard)
                         .status());
  if (finish.cache_key.empty()) return absl::OkStatus();
  // One that is kept could not be used, or somebody else has made the same meanwhile.
  NS_RETURN_IF_ERROR(db.Execute("DELETE FROM task_results WHERE cache_key = ?", Blob{finish.cache_key}).status());
  NS_ASSIGN_OR_RETURN(const int64_t inserted,
                      db.Execute("INSERT INTO task_results (cache_key, tenant, model_sha, result, used_us) VALUES "
                                 "(?, ?, ?, ?, now_us()) ON CONFLICT DO NOTHING",
                                 Blob{finish.cache_key}, tenant, Blob{finish.cache_model}, finish.result_json));
  if (inserted == 0) return absl::OkStatus();
  for (const TaskOutput& output : finish.outputs) {
    NS_RETURN_IF_ERROR(db.Execute("INSERT INTO task_result_outputs (cache_key, name, blob) VALUES (?, ?, ?)",
                                  Blob{finish.cache_key}, output.name, Blob{output.digest.sha256})
                           .status());
  }
  return absl::OkStatus();
}

absl::Status Publish(Connection& db, const std::string& job_id, const JobRow& job, const JobSuccess& success) {
  NS_ASSIGN_OR_RETURN(const int64_t now_us, Now(db));
  const std::string artifact = NewId(now_us);
  int64_t total_bytes = 0;
  for (const ModelFile& file : success.files) total_bytes += file.digest.size_bytes;
  NS_RETURN_IF_ERROR(db.Execute("INSERT INTO artifacts (id, tenant, job_id, model_id, format, total_bytes, created_us) "
                                "VALUES (?, ?, ?, ?, ?, ?, now_us())",
                                artifact, job.tenant, job_id, job.model_id, success.format, total_bytes)
                         .status());
  for (const ModelFile& file : success.files) {
    NS_RETURN_IF_ERROR(InsertFile(db, job.tenant, NameOf("artifacts", artifact), file.path, file.digest.sha256));
  }
  v1::Job::Result result = success.result;
  result.set_artifact(NameOf("artifacts", artifact));
  NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 3, result = ?, error = NULL, finished_us = now_us() "
                                "WHERE id = ? AND state = 2",
                                Blob{result.SerializeAsString()}, job_id)
                         .status());
  // Nothing will read the tasks' outputs again. Dropping these references lets deleting the artifact free its bytes.
  return db.Execute("DELETE FROM task_outputs WHERE job_id = ?", job_id).status();
}

// The tasks that follow a stage appear with the end of its last task, in the same transaction: also those of a job
// being cancelled, so that a retry finds where to go on.
absl::Status InsertNextStage(Connection& db, const TaskKey& key, const std::vector<NewTask>& next) {
  {
    Query query = db.Select("SELECT count(*) FROM tasks WHERE job_id = ? AND stage = ? AND state <> 'succeeded'",
                            key.job_id, static_cast<int>(key.stage));
    if (!query.Next() || query.Int(0) > 0) return query.status();
  }
  for (const NewTask& task : next) NS_RETURN_IF_ERROR(InsertTask(db, key.job_id, task));
  return absl::OkStatus();
}

// Another task of the job may have failed and be waiting: its error stays the job's.
absl::Status RefreshJobError(Connection& db, const std::string& job_id) {
  return db
      .Execute("UPDATE jobs SET error = (SELECT error FROM tasks WHERE job_id = ? AND error IS NOT NULL "
               "ORDER BY updated_us DESC LIMIT 1) WHERE id = ? AND state IN (1, 2)",
               job_id, job_id)
      .status();
}

struct Maker {
  TaskKey key;
  bool succeeded = false;
  bool tired = false;  // has been run often enough
};

// The tasks whose outputs `key` reads and that made any of these blobs. What was made since `key` was claimed is left out: it
// is not what the task has seen.
absl::StatusOr<std::vector<Maker>> MakersOf(Connection& db, const TaskKey& key, const std::vector<std::string>& sha256s,
                                            int max_attempts) {
  std::vector<Maker> makers;
  for (const std::string& sha256 : sha256s) {
    Query query = db.Select(
        "SELECT DISTINCT m.stage, m.shard, m.state = 'succeeded', m.attempt FROM task_outputs o JOIN tasks m ON "
        "m.job_id = o.job_id AND m.stage = o.stage AND m.shard = o.shard JOIN tasks t ON t.job_id = o.job_id AND "
        "t.stage = ? AND t.shard = ? WHERE o.job_id = ? AND o.blob = ? AND "
        "(m.state <> 'succeeded' OR m.updated_us <= t.claimed_us)",
        static_cast<int>(key.stage), key.shard, key.job_id, Blob{sha256});
    while (query.Next()) {
      const TaskKey maker{key.job_id, static_cast<Stage>(query.Int(0)), static_cast<int>(query.Int(1))};
      makers.push_back({maker, query.Int(2) != 0, query.Int(3) >= std::max(max_attempts, 2)});
    }
    NS_RETURN_IF_ERROR(query.status());
  }
  return makers;
}

// Whoever waits for inputs that are made again is woken by the end of any task of its job, or looks again after this long.
// No back-off is as long as half of it.
constexpr int64_t kWaitForInputsUs = int64_t{3600} * 1'000'000;

absl::Status WaitForInputs(Connection& db, const TaskKey& key) {
  return db
      .Execute("UPDATE tasks SET not_before_us = now_us() + ? WHERE job_id = ? AND stage = ? AND shard = ?",
               kWaitForInputsUs, key.job_id, static_cast<int>(key.stage), key.shard)
      .status();
}

absl::Status WakeWaiting(Connection& db, const std::string& job_id) {
  return db
      .Execute("UPDATE tasks SET not_before_us = now_us() WHERE job_id = ? AND state = 'pending' AND "
               "not_before_us > now_us() + ?",
               job_id, kWaitForInputsUs / 2)
      .status();
}

// One more loss; whether the task has had too many.
absl::StatusOr<bool> CountLoss(Connection& db, const TaskKey& key, int max_losses) {
  NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET losses = losses + 1 WHERE job_id = ? AND stage = ? AND shard = ?",
                                key.job_id, static_cast<int>(key.stage), key.shard)
                         .status());
  Query query = db.Select("SELECT losses FROM tasks WHERE job_id = ? AND stage = ? AND shard = ?", key.job_id,
                          static_cast<int>(key.stage), key.shard);
  if (!query.Next()) return query.status();
  return max_losses > 0 && query.Int(0) >= max_losses;
}

v1::Error PoisonError(const TaskKey& key, const std::string& last) {
  return ToErrorProto(MakeError(
      absl::StatusCode::kAborted, "POISON",
      absl::StrCat(v1::Job::Stage_Name(key.stage), " ", key.shard, " takes its worker down every time: ", last),
      "the machine may be short of memory: give the workers more, then retry the job; otherwise report it with the model"));
}

absl::Status FailAsPoison(Connection& db, const TaskLease& lease) {
  const TaskKey& key = lease.key;
  const v1::Error error = PoisonError(key, absl::StrCat("it vanished, ", lease.owner, " the last"));
  NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET state = 'failed', error = ? WHERE job_id = ? AND stage = ? AND shard = ?",
                                Blob{error.SerializeAsString()}, key.job_id, static_cast<int>(key.stage), key.shard)
                         .status());
  return FailJob(db, key.job_id, error);
}

}  // namespace

absl::StatusOr<TaskEnd> SqlStore::FinishTask(const TaskLease& lease, const TaskFinish& finish) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<TaskEnd> {
    const TaskKey& key = lease.key;
    NS_RETURN_IF_ERROR(LeaveRunning(db, lease, "succeeded"));
    NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, key.job_id));
    NS_RETURN_IF_ERROR(StoreOutputs(db, key, job.tenant, finish));
    NS_RETURN_IF_ERROR(WakeWaiting(db, key.job_id));
    if (finish.shards > 0) {
      NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET shards = ?, stage_weights = ? WHERE id = ?", finish.shards,
                                    finish.stage_weights, key.job_id)
                             .status());
    }
    if (finish.search_rounds.has_value()) {
      NS_RETURN_IF_ERROR(
          db.Execute("UPDATE jobs SET search_rounds = ? WHERE id = ?", *finish.search_rounds, key.job_id).status());
    }
    if (!Live(job)) {
      // The job has ended without this task; its outputs are kept for a retry.
    } else if (finish.success.has_value() && !job.cancel_requested) {
      NS_RETURN_IF_ERROR(Publish(db, key.job_id, job, *finish.success));
    } else if (finish.success.has_value()) {
      // Cancelled before it could be seen: no artifact, and a retry publishes again.
      NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET state = 'cancelled' WHERE job_id = ? AND stage = ? AND shard = ?",
                                    key.job_id, static_cast<int>(key.stage), key.shard)
                             .status());
      NS_RETURN_IF_ERROR(EndIfCancelled(db, key.job_id));
    } else {
      NS_RETURN_IF_ERROR(InsertNextStage(db, key, finish.next));
      NS_RETURN_IF_ERROR(job.cancel_requested ? EndIfCancelled(db, key.job_id) : RefreshJobError(db, key.job_id));
    }
    return Settled(db, key.job_id, job);
  });
}

absl::StatusOr<TaskEnd> SqlStore::FailTask(const TaskLease& lease, const TaskFailure& failure) {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<TaskEnd> {
    const TaskKey& key = lease.key;
    NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, key.job_id));
    int attempt = 0;
    {
      Query query = db.Select("SELECT attempt FROM tasks WHERE job_id = ? AND stage = ? AND shard = ?", key.job_id,
                              static_cast<int>(key.stage), key.shard);
      if (query.Next()) attempt = static_cast<int>(query.Int(0));
      NS_RETURN_IF_ERROR(query.status());
    }
    const bool stopping = !Live(job) || job.cancel_requested;
    bool again = failure.retriable && attempt < job.max_attempts;
    NS_RETURN_IF_ERROR(LeaveRunning(db, lease, stopping ? "cancelled" : again ? "pending" : "failed"));
    v1::Error error = failure.error;
    if (failure.crashed && !stopping) {
      NS_ASSIGN_OR_RETURN(const bool poison, CountLoss(db, key, failure.max_losses));
      if (poison) {
        again = false;
        error = PoisonError(key, failure.error.message());
        NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET state = 'failed' WHERE job_id = ? AND stage = ? AND shard = ?",
                                      key.job_id, static_cast<int>(key.stage), key.shard)
                               .status());
      }
    }
    NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET error = ?, not_before_us = now_us() + ? WHERE job_id = ? AND "
                                  "stage = ? AND shard = ?",
                                  Blob{error.SerializeAsString()}, failure.backoff_us, key.job_id,
                                  static_cast<int>(key.stage), key.shard)
                           .status());
    if (Live(job) && job.cancel_requested) {
      NS_RETURN_IF_ERROR(EndIfCancelled(db, key.job_id));
    } else if (Live(job) && again) {
      NS_RETURN_IF_ERROR(RefreshJobError(db, key.job_id));
    } else if (Live(job)) {
      NS_RETURN_IF_ERROR(FailJob(db, key.job_id, error));
    }
    return Settled(db, key.job_id, job);
  });
}

absl::StatusOr<TaskEnd> SqlStore::RemakeInputs(const TaskLease& lease, const std::vector<std::string>& sha256s,
                                                  const TaskFailure& failure) {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<TaskEnd> {
    const TaskKey& key = lease.key;
    NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, key.job_id));
    const bool stopping = !Live(job) || job.cancel_requested;
    NS_RETURN_IF_ERROR(LeaveRunning(db, lease, stopping ? "cancelled" : "pending"));
    if (stopping) {
      if (Live(job)) NS_RETURN_IF_ERROR(EndIfCancelled(db, key.job_id));
      return Settled(db, key.job_id, job);
    }
    NS_RETURN_IF_ERROR(GiveAttemptBack(db, key));
    NS_ASSIGN_OR_RETURN(const std::vector<Maker> makers, MakersOf(db, key, sha256s, job.max_attempts));
    bool too_often = false;
    for (const Maker& maker : makers) {
      if (!maker.succeeded) continue;  // on its way already
      too_often |= maker.tired;
      NS_RETURN_IF_ERROR(db.Execute("UPDATE tasks SET state = ?, error = ?, not_before_us = now_us(), updated_us = now_us() "
                                    "WHERE job_id = ? AND stage = ? AND shard = ?",
                                    maker.tired ? "failed" : "pending", Blob{failure.error.SerializeAsString()},
                                    key.job_id, static_cast<int>(maker.key.stage), maker.key.shard)
                             .status());
    }
    if (!makers.empty()) NS_RETURN_IF_ERROR(WaitForInputs(db, key));
    NS_RETURN_IF_ERROR(too_often ? FailJob(db, key.job_id, failure.error) : RefreshJobError(db, key.job_id));
    return Settled(db, key.job_id, job);
  });
}

absl::StatusOr<TaskEnd> SqlStore::StopTask(const TaskLease& lease) {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<TaskEnd> {
    NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, lease.key.job_id));
    NS_RETURN_IF_ERROR(LeaveRunning(db, lease, "cancelled"));
    if (Live(job)) NS_RETURN_IF_ERROR(EndIfCancelled(db, lease.key.job_id));
    return Settled(db, lease.key.job_id, job);
  });
}

absl::Status SqlStore::ReleaseTask(const TaskLease& lease) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    const TaskKey& key = lease.key;
    NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, key.job_id));
    const bool stopping = !Live(job) || job.cancel_requested;
    NS_RETURN_IF_ERROR(LeaveRunning(db, lease, stopping ? "cancelled" : "pending"));
    return stopping ? EndIfCancelled(db, key.job_id) : GiveAttemptBack(db, key);
  });
}

absl::StatusOr<std::vector<LostTask>> SqlStore::Reap(bool every, int max_losses) {
  // Most rounds find nothing: ask without the write lock first.
  const auto lost_leases = [every](Connection& db) -> absl::StatusOr<std::vector<TaskLease>> {
    std::vector<TaskLease> lost;
    Query query = db.Select(
        "SELECT job_id, stage, shard, lease_owner, lease_epoch FROM tasks WHERE state = 'running' AND "
        "(? <> 0 OR lease_expires_us <= now_us())",
        every);
    while (query.Next()) {
      const TaskKey key{query.Text(0), static_cast<Stage>(query.Int(1)), static_cast<int>(query.Int(2))};
      lost.push_back({key, query.Text(3), query.Int(4)});
    }
    NS_RETURN_IF_ERROR(query.status());
    return lost;
  };
  NS_ASSIGN_OR_RETURN(const std::vector<TaskLease> any, database_->Read(lost_leases));
  if (any.empty()) return std::vector<LostTask>();

  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<std::vector<LostTask>> {
    std::vector<LostTask> tasks;
    NS_ASSIGN_OR_RETURN(const std::vector<TaskLease> lost, lost_leases(db));
    for (const TaskLease& lease : lost) {
      const TaskKey& key = lease.key;
      NS_ASSIGN_OR_RETURN(const JobRow job, LoadJobRow(db, key.job_id));
      const bool stopping = !Live(job) || job.cancel_requested;
      NS_RETURN_IF_ERROR(LeaveRunning(db, lease, stopping ? "cancelled" : "pending"));
      LostTask& task = tasks.emplace_back(LostTask{key});
      if (stopping) {
        if (Live(job)) NS_RETURN_IF_ERROR(EndIfCancelled(db, key.job_id));
      } else {
        NS_ASSIGN_OR_RETURN(task.poison, CountLoss(db, key, max_losses));
        NS_RETURN_IF_ERROR(task.poison ? FailAsPoison(db, lease) : GiveAttemptBack(db, key));
      }
      NS_ASSIGN_OR_RETURN(task.end, Settled(db, key.job_id, job));
    }
    return tasks;
  });
}

}  // namespace nashswarm::server
