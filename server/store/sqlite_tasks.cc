// SqliteJobStore: handing out tasks and hearing from their workers.
#include <algorithm>

#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_rows.h"

namespace nashswarm::server {

using sqlite::Blob;
using sqlite::Connection;
using sqlite::Query;

absl::Status FencedError(const TaskLease& lease) {
  return MakeError(absl::StatusCode::kAborted, "FENCED",
                   absl::StrCat("jobs/", lease.key.job_id, " ", v1::Job::Stage_Name(lease.key.stage), " ", lease.key.shard,
                                ": epoch ", lease.epoch, " no longer holds the task"));
}

absl::StatusOr<std::optional<ClaimedTask>> SqliteJobStore::ClaimTask(const std::string& owner, int64_t lease_us) {
  // Most polls find nothing: ask without the write lock first.
  bool any = false;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    Query query = db.Select("SELECT 1 FROM tasks WHERE state = 'pending' AND not_before_us <= now_us() LIMIT 1");
    any = query.Next();
    return query.status();
  }));
  if (!any) return std::nullopt;

  std::optional<ClaimedTask> claimed;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    ClaimedTask task;
    {
      Query query = db.Select(
          "SELECT t.job_id, t.stage, t.shard, t.attempt + 1, t.lease_epoch + 1, now_us() - t.not_before_us, j.spec, "
          "j.model_id, j.shards, m.manifest_sha, m.manifest_size, j.search_rounds "
          "FROM tasks t JOIN jobs j ON j.id = t.job_id LEFT JOIN models m ON m.id = j.model_id "
          "WHERE t.state = 'pending' AND t.not_before_us <= now_us() AND j.state IN (1, 2) AND j.cancel_requested = 0 "
          "ORDER BY j.priority, j.created_us, j.id, t.stage, t.shard LIMIT 1");
      if (!query.Next()) return query.status();
      task.lease.key = {query.Text(0), static_cast<Stage>(query.Int(1)), static_cast<int>(query.Int(2))};
      task.attempt = static_cast<int>(query.Int(3));
      task.lease.epoch = query.Int(4);
      task.lease.owner = owner;
      task.waited_us = query.Int(5);
      task.spec.ParseFromString(query.Bytes(6));
      task.model_id = query.Text(7);
      task.shards = static_cast<int>(query.Int(8));
      task.model_manifest = {query.Bytes(9), query.Int(10)};
      task.search_rounds = static_cast<int>(query.Int(11));
    }
    {
      Query query = db.Select(
          "SELECT f.path, f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.owner = ? "
          "ORDER BY f.path",
          absl::StrCat("models/", task.model_id));
      while (query.Next()) task.model_files.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
      NS_RETURN_IF_ERROR(query.status());
    }
    const TaskKey& key = task.lease.key;
    {
      Query query = db.Select(
          "SELECT d.purpose, f.blob, b.size_bytes FROM job_data d JOIN files f ON f.owner = 'models/' || d.model_id "
          "JOIN blobs b ON b.sha256 = f.blob WHERE d.job_id = ? ORDER BY d.purpose",
          key.job_id);
      while (query.Next()) task.data.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
      NS_RETURN_IF_ERROR(query.status());
    }
    NS_ASSIGN_OR_RETURN(
        const int64_t updated,
        db.Execute("UPDATE tasks SET state = 'running', attempt = ?, lease_owner = ?, lease_epoch = ?, "
                   "lease_expires_us = now_us() + ?, claimed_us = now_us(), weights_done = 0, weights_total = 0, tensor = '', "
                   "updated_us = now_us() WHERE job_id = ? AND stage = ? AND shard = ? AND state = 'pending'",
                   task.attempt, owner, task.lease.epoch, lease_us, key.job_id, static_cast<int>(key.stage),
                   key.shard));
    if (updated == 0) return absl::OkStatus();
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 2, started_us = coalesce(started_us, now_us()) "
                                  "WHERE id = ? AND state = 1",
                                  key.job_id)
                           .status());
    claimed = std::move(task);
    return absl::OkStatus();
  }));
  return claimed;
}

absl::StatusOr<std::vector<TaskOutput>> SqliteJobStore::TaskOutputs(const std::string& job_id,
                                                                    const std::vector<Stage>& stages) {
  std::vector<TaskOutput> outputs;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    for (const Stage stage : stages) {
      Query query = db.Select(
          "SELECT o.name, o.blob, b.size_bytes FROM task_outputs o JOIN blobs b ON b.sha256 = o.blob "
          "WHERE o.job_id = ? AND o.stage = ? ORDER BY o.shard, o.name",
          job_id, static_cast<int>(stage));
      while (query.Next()) outputs.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
      NS_RETURN_IF_ERROR(query.status());
    }
    return absl::OkStatus();
  }));
  std::sort(outputs.begin(), outputs.end(),
            [](const TaskOutput& a, const TaskOutput& b) { return a.name < b.name; });
  return outputs;
}

absl::StatusOr<std::vector<TaskRecord>> SqliteJobStore::TaskHistory(const std::string& job_id) {
  std::vector<TaskRecord> history;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    Query query = db.Select(
        "SELECT stage, shard, result FROM tasks WHERE job_id = ? AND state = 'succeeded' ORDER BY stage, shard",
        job_id);
    while (query.Next()) {
      history.push_back({static_cast<Stage>(query.Int(0)), static_cast<int>(query.Int(1)), query.Text(2)});
    }
    return query.status();
  }));
  return history;
}

absl::StatusOr<bool> SqliteJobStore::ReportTask(const TaskLease& lease, int64_t lease_us, const TaskProgress& progress,
                                                const std::vector<v1::JobEvent>& events) {
  bool stop = false;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    const TaskKey& key = lease.key;
    NS_ASSIGN_OR_RETURN(
        const int64_t updated,
        db.Execute("UPDATE tasks SET lease_expires_us = now_us() + ?, weights_done = ?, weights_total = ?, tensor = ?, "
                   "updated_us = now_us() WHERE job_id = ? AND stage = ? AND shard = ? AND lease_epoch = ? AND "
                   "lease_owner = ? AND state = 'running'",
                   lease_us, progress.weights_done, progress.weights_total, progress.tensor, key.job_id,
                   static_cast<int>(key.stage), key.shard, lease.epoch, lease.owner));
    if (updated == 0) return FencedError(lease);
    int64_t sequence = 0;
    {
      Query query = db.Select("SELECT state NOT IN (1, 2) OR cancel_requested, last_sequence FROM jobs WHERE id = ?",
                              key.job_id);
      if (!query.Next()) return query.status().ok() ? FencedError(lease) : query.status();
      stop = query.Int(0) != 0;
      sequence = query.Int(1);
    }
    if (events.empty()) return absl::OkStatus();
    for (const v1::JobEvent& event : events) {
      NS_RETURN_IF_ERROR(
          db.Execute("INSERT INTO job_events (job_id, sequence, time_us, event) VALUES (?, ?, now_us(), ?)", key.job_id,
                     ++sequence, Blob{event.SerializeAsString()})
              .status());
    }
    return db.Execute("UPDATE jobs SET last_sequence = ? WHERE id = ?", sequence, key.job_id).status();
  }));
  return stop;
}

absl::StatusOr<bool> SqliteJobStore::MustStop(const TaskLease& lease) {
  bool stop = true;  // no such row: fenced
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    Query query = db.Select(
        "SELECT j.state NOT IN (1, 2) OR j.cancel_requested FROM tasks t JOIN jobs j ON j.id = t.job_id "
        "WHERE t.job_id = ? AND t.stage = ? AND t.shard = ? AND t.lease_epoch = ? AND t.state = 'running'",
        lease.key.job_id, static_cast<int>(lease.key.stage), lease.key.shard, lease.epoch);
    if (query.Next()) stop = query.Int(0) != 0;
    return query.status();
  }));
  return stop;
}

absl::StatusOr<std::optional<CachedResult>> SqliteJobStore::FindTaskResult(const std::string& cache_key) {
  std::optional<CachedResult> found;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    CachedResult result;
    {
      Query query = db.Select("SELECT result FROM task_results WHERE cache_key = ?", Blob{cache_key});
      if (!query.Next()) return query.status();
      result.result_json = query.Text(0);
    }
    {
      Query query = db.Select(
          "SELECT o.name, o.blob, b.size_bytes FROM task_result_outputs o JOIN blobs b ON b.sha256 = o.blob "
          "WHERE o.cache_key = ? ORDER BY o.name",
          Blob{cache_key});
      while (query.Next()) result.outputs.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
      NS_RETURN_IF_ERROR(query.status());
    }
    NS_RETURN_IF_ERROR(
        db.Execute("UPDATE task_results SET used_us = now_us() WHERE cache_key = ?", Blob{cache_key}).status());
    for (const TaskOutput& output : result.outputs) {
      NS_RETURN_IF_ERROR(
          db.Execute("UPDATE blobs SET touched_us = now_us() WHERE sha256 = ?", Blob{output.digest.sha256}).status());
    }
    found = std::move(result);
    return absl::OkStatus();
  }));
  return found;
}

}  // namespace nashswarm::server
