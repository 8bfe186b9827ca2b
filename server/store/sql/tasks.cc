// SqlStore: handing out tasks and hearing from their workers.
#include <algorithm>

#include "server/stages/needs.h"
#include "server/store/sql/fence.h"
#include "server/store/sql/rows.h"
#include "server/store/sql/sql_store.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::Query;
using sql::Value;

absl::Status FencedError(const TaskLease& lease) {
  return MakeError(absl::StatusCode::kAborted, "FENCED",
                   absl::StrCat("jobs/", lease.key.job_id, " ", v1::Job::Stage_Name(lease.key.stage), " ", lease.key.shard,
                                ": epoch ", lease.epoch, " no longer holds the task"));
}

absl::Status InsertTask(Connection& db, const std::string& job_id, const NewTask& task) {
  return db
      .Execute("INSERT INTO tasks (job_id, stage, shard, need_memory, need_disk, not_before_us, updated_us) VALUES "
               "(?, ?, ?, ?, ?, now_us(), now_us()) ON CONFLICT (job_id, stage, shard) DO NOTHING",
               job_id, static_cast<int>(task.stage), task.shard, task.need_memory_bytes, task.need_disk_bytes)
      .status();
}

namespace {

// The tenants that run as many jobs as they may: nothing of theirs that waits is to be started.
absl::StatusOr<std::vector<std::string>> TenantsAtLimit(Connection& db, const ClaimLimits& limits) {
  std::vector<std::string> tenants;
  if (!limits.max_running_jobs) return tenants;
  Query query = db.Select("SELECT tenant, count(*) FROM jobs WHERE state = 2 GROUP BY tenant");
  while (query.Next()) {
    if (query.Int(1) >= limits.max_running_jobs(query.Text(0))) tenants.push_back(query.Text(0));
  }
  NS_RETURN_IF_ERROR(query.status());
  return tenants;
}

// The most urgent task that may run now; on PostgreSQL locked, and past those that another claim has locked.
absl::StatusOr<std::optional<ClaimedTask>> SelectTask(Connection& db, const ClaimLimits& limits) {
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> blocked, TenantsAtLimit(db, limits));
  std::string text =
      "SELECT t.job_id, t.stage, t.shard, t.attempt + 1, t.lease_epoch + 1, now_us() - t.not_before_us, j.spec, "
      "j.model_id, j.shards, m.manifest_sha, m.manifest_size, j.search_rounds, j.tenant, t.need_memory, t.need_disk, "
      "j.traceparent, m.weight_bytes "
      "FROM tasks t JOIN jobs j ON j.id = t.job_id LEFT JOIN models m ON m.tenant = j.tenant AND m.id = j.model_id "
      "WHERE t.state = 'pending' AND t.not_before_us <= now_us() AND t.need_memory <= ? AND t.need_disk <= ? AND "
      "j.state IN (1, 2) AND j.cancel_requested = 0";
  std::vector<Value> values = {limits.memory_bytes, limits.disk_bytes};
  for (const std::string& tenant : blocked) {
    text += " AND (j.state = 2 OR j.tenant <> ?)";
    values.emplace_back(tenant);
  }
  text += " ORDER BY j.priority, j.created_us, j.id, t.stage, t.shard LIMIT 1";
  if (db.dialect() == sql::Dialect::kPostgres) text += " FOR UPDATE OF t SKIP LOCKED";
  Query query = db.SelectWith(text.c_str(), values);
  if (!query.Next()) {
    NS_RETURN_IF_ERROR(query.status());
    return std::nullopt;
  }
  ClaimedTask task;
  task.lease.key = {query.Text(0), static_cast<Stage>(query.Int(1)), static_cast<int>(query.Int(2))};
  task.attempt = static_cast<int>(query.Int(3));
  task.lease.epoch = query.Int(4);
  task.waited_us = query.Int(5);
  task.spec_status = ParseSpec(query.Bytes(6), task.lease.key.job_id, &task.spec);
  task.model_id = query.Text(7);
  task.shards = static_cast<int>(query.Int(8));
  task.model_manifest = {query.Bytes(9), query.Int(10)};
  task.search_rounds = static_cast<int>(query.Int(11));
  task.tenant = query.Text(12);
  task.need_memory_bytes = query.Int(13);
  task.need_disk_bytes = query.Int(14);
  task.traceparent = query.Text(15);
  task.model_weight_bytes = query.Int(16);
  return task;
}

// What the task works on.
absl::Status LoadInputs(Connection& db, ClaimedTask* task) {
  {
    Query query = db.Select(
        "SELECT f.path, f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.tenant = ? AND "
        "f.owner = ? ORDER BY f.path",
        task->tenant, absl::StrCat("models/", task->model_id));
    while (query.Next()) task->model_files.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
    NS_RETURN_IF_ERROR(query.status());
  }
  {
    Query query = db.Select(
        "SELECT d.purpose, f.blob, b.size_bytes FROM job_data d JOIN files f ON f.tenant = ? AND "
        "f.owner = 'models/' || d.model_id JOIN blobs b ON b.sha256 = f.blob WHERE d.job_id = ? ORDER BY d.purpose",
        task->tenant, task->lease.key.job_id);
    while (query.Next()) task->data.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
    NS_RETURN_IF_ERROR(query.status());
  }
  Query query = db.Select("SELECT result FROM tasks WHERE job_id = ? AND stage = ? AND state = 'succeeded'",
                          task->lease.key.job_id, static_cast<int>(kNeedsSaidBy));
  if (query.Next()) task->prepare_result_json = query.Text(0);
  return query.status();
}

}  // namespace

absl::StatusOr<std::optional<ClaimedTask>> SqlStore::ClaimTask(const std::string& owner, int64_t lease_us,
                                                                  const ClaimLimits& limits) {
  // Most polls find nothing: ask without the write lock first.
  NS_ASSIGN_OR_RETURN(const bool any, database_->Read([&](Connection& db) -> absl::StatusOr<bool> {
    Query query = db.Select("SELECT 1 FROM tasks WHERE state = 'pending' AND not_before_us <= now_us() LIMIT 1");
    const bool found = query.Next();
    NS_RETURN_IF_ERROR(query.status());
    return found;
  }));
  if (!any) return std::nullopt;

  return database_->Write([&](Connection& db) -> absl::StatusOr<std::optional<ClaimedTask>> {
    NS_ASSIGN_OR_RETURN(std::optional<ClaimedTask> task, SelectTask(db, limits));
    if (!task.has_value()) return task;
    task->lease.owner = owner;
    NS_RETURN_IF_ERROR(LoadInputs(db, &*task));
    const TaskKey& key = task->lease.key;
    NS_ASSIGN_OR_RETURN(
        const int64_t updated,
        db.Execute("UPDATE tasks SET state = 'running', attempt = ?, lease_owner = ?, lease_epoch = ?, "
                   "lease_expires_us = now_us() + ?, claimed_us = now_us(), weights_done = 0, weights_total = 0, "
                   "tensor = '', updated_us = now_us() WHERE job_id = ? AND stage = ? AND shard = ? AND "
                   "state = 'pending'",
                   task->attempt, owner, task->lease.epoch, lease_us, key.job_id, static_cast<int>(key.stage),
                   key.shard));
    if (updated == 0) return std::nullopt;
    NS_RETURN_IF_ERROR(db.Execute("UPDATE jobs SET state = 2, started_us = coalesce(started_us, now_us()) "
                                  "WHERE id = ? AND state = 1",
                                  key.job_id)
                           .status());
    return task;
  });
}

absl::StatusOr<std::vector<LargeTasks>> SqlStore::TasksBeyond(int64_t memory_bytes, int64_t disk_bytes) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<LargeTasks>> {
    Query query = db.Select(
        "SELECT t.job_id, count(*), max(t.need_memory), max(t.need_disk) FROM tasks t JOIN jobs j ON j.id = t.job_id "
        "WHERE t.state = 'pending' AND (t.need_memory > ? OR t.need_disk > ?) AND j.state IN (1, 2) "
        "GROUP BY t.job_id ORDER BY t.job_id",
        memory_bytes, disk_bytes);
    std::vector<LargeTasks> jobs;
    while (query.Next()) jobs.push_back({query.Text(0), query.Int(1), query.Int(2), query.Int(3)});
    NS_RETURN_IF_ERROR(query.status());
    return jobs;
  });
}

absl::StatusOr<std::vector<TaskOutput>> SqlStore::TaskOutputs(const std::string& job_id,
                                                                 const std::vector<Stage>& stages) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<TaskOutput>> {
    std::vector<TaskOutput> outputs;
    for (const Stage stage : stages) {
      Query query = db.Select(
          "SELECT o.name, o.blob, b.size_bytes FROM task_outputs o JOIN blobs b ON b.sha256 = o.blob "
          "WHERE o.job_id = ? AND o.stage = ? ORDER BY o.shard, o.name",
          job_id, static_cast<int>(stage));
      while (query.Next()) outputs.push_back({query.Text(0), {query.Bytes(1), query.Int(2)}});
      NS_RETURN_IF_ERROR(query.status());
    }
    std::sort(outputs.begin(), outputs.end(),
              [](const TaskOutput& a, const TaskOutput& b) { return a.name < b.name; });
    return outputs;
  });
}

absl::StatusOr<std::vector<TaskRecord>> SqlStore::TaskHistory(const std::string& job_id) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<TaskRecord>> {
    std::vector<TaskRecord> history;
    Query query = db.Select(
        "SELECT stage, shard, result FROM tasks WHERE job_id = ? AND state = 'succeeded' ORDER BY stage, shard",
        job_id);
    while (query.Next()) {
      history.push_back({static_cast<Stage>(query.Int(0)), static_cast<int>(query.Int(1)), query.Text(2)});
    }
    NS_RETURN_IF_ERROR(query.status());
    return history;
  });
}

absl::StatusOr<bool> SqlStore::ReportTask(const TaskLease& lease, int64_t lease_us, const TaskProgress& progress,
                                             const std::vector<v1::JobEvent>& events) {
  static const std::string kRenew =
      absl::StrCat("UPDATE tasks SET lease_expires_us = now_us() + ?, weights_done = ?, weights_total = ?, tensor = ?, "
                   "updated_us = now_us() WHERE job_id = ? AND stage = ? AND shard = ? AND ",
                   sql::kTaskFence);
  return database_->Write([&](Connection& db) -> absl::StatusOr<bool> {
    const TaskKey& key = lease.key;
    NS_ASSIGN_OR_RETURN(const int64_t updated,
                        db.Execute(kRenew.c_str(), lease_us, progress.weights_done, progress.weights_total,
                                   progress.tensor, key.job_id, static_cast<int>(key.stage), key.shard, lease.epoch,
                                   lease.owner));
    if (updated == 0) return FencedError(lease);
    bool stop = false;
    int64_t sequence = 0;
    {
      Query query = db.Select(
          "SELECT state NOT IN (1, 2) OR cancel_requested <> 0, last_sequence FROM jobs WHERE id = ?", key.job_id);
      if (!query.Next()) return query.status().ok() ? FencedError(lease) : query.status();
      stop = query.Int(0) != 0;
      sequence = query.Int(1);
    }
    if (events.empty()) return stop;
    for (const v1::JobEvent& event : events) {
      NS_RETURN_IF_ERROR(
          db.Execute("INSERT INTO job_events (job_id, sequence, time_us, event) VALUES (?, ?, now_us(), ?)", key.job_id,
                     ++sequence, Blob{event.SerializeAsString()})
              .status());
    }
    NS_RETURN_IF_ERROR(
        db.Execute("UPDATE jobs SET last_sequence = ? WHERE id = ?", sequence, key.job_id).status());
    return stop;
  });
}

absl::StatusOr<bool> SqlStore::MustStop(const TaskLease& lease) {
  static const std::string kHeld =
      absl::StrCat("SELECT 1 FROM tasks WHERE job_id = ? AND stage = ? AND shard = ? AND ", sql::kTaskFence);
  return database_->Read([&](Connection& db) -> absl::StatusOr<bool> {
    {
      Query query = db.Select(kHeld.c_str(), lease.key.job_id, static_cast<int>(lease.key.stage), lease.key.shard,
                              lease.epoch, lease.owner);
      const bool held = query.Next();
      NS_RETURN_IF_ERROR(query.status());
      if (!held) return true;
    }
    Query query = db.Select("SELECT state NOT IN (1, 2) OR cancel_requested <> 0 FROM jobs WHERE id = ?",
                            lease.key.job_id);
    const bool stop = !query.Next() || query.Int(0) != 0;
    NS_RETURN_IF_ERROR(query.status());
    return stop;
  });
}

absl::StatusOr<std::optional<CachedResult>> SqlStore::FindTaskResult(const std::string& cache_key) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<std::optional<CachedResult>> {
    CachedResult result;
    {
      Query query = db.Select("SELECT result FROM task_results WHERE cache_key = ?", Blob{cache_key});
      if (!query.Next()) {
        NS_RETURN_IF_ERROR(query.status());
        return std::nullopt;
      }
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
    return result;
  });
}

}  // namespace nashswarm::server
