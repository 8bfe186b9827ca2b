// TaskStore: what whoever runs tasks needs of the store: the scheduler claims, the worker does the rest. What every part of the store
// promises, and what a lease and an epoch are: store.h.
//
// Task states: pending -> running -> succeeded | failed | cancelled; running -> pending (retry, release, lost lease);
//   pending -> cancelled; failed | cancelled -> pending (job retry).
#ifndef NASHSWARM_SERVER_STORE_TASK_STORE_H_
#define NASHSWARM_SERVER_STORE_TASK_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/blob_store.h"
#include "server/store/task.h"

namespace nashswarm::server {

class TaskStore {
 public:
  virtual ~TaskStore() = default;

  // ---- the scheduler's

  // The most urgent task that may run now, leased to `owner`; nullopt when there is none.
  virtual absl::StatusOr<std::optional<ClaimedTask>> ClaimTask(const std::string& owner, int64_t lease_us,
                                                              const ClaimLimits& limits = {}) = 0;
  // Waiting tasks that need more than this, by job.
  virtual absl::StatusOr<std::vector<LargeTasks>> TasksBeyond(int64_t memory_bytes, int64_t disk_bytes) = 0;

  // ---- the worker's

  // Outputs of the job's finished tasks of `stages`, by name.
  virtual absl::StatusOr<std::vector<TaskOutput>> TaskOutputs(const std::string& job_id,
                                                              const std::vector<Stage>& stages) = 0;
  // Of the job's finished tasks, by stage and shard.
  virtual absl::StatusOr<std::vector<TaskRecord>> TaskHistory(const std::string& job_id) = 0;
  // Renews the lease and stores progress and events (whose sequence and time are set here). Returns whether the task
  // must stop: its job was cancelled or has ended.
  virtual absl::StatusOr<bool> ReportTask(const TaskLease& lease, int64_t lease_us, const TaskProgress& progress,
                                          const std::vector<v1::JobEvent>& events) = 0;
  // Read-only and cheap: whether the task must stop (cancelled, ended, or fenced).
  virtual absl::StatusOr<bool> MustStop(const TaskLease& lease) = 0;
  virtual absl::StatusOr<TaskEnd> FinishTask(const TaskLease& lease, const TaskFinish& finish) = 0;
  // Another attempt after the back-off, or, out of attempts or not retriable, the end of the job.
  virtual absl::StatusOr<TaskEnd> FailTask(const TaskLease& lease, const TaskFailure& failure) = 0;
  // Blobs that the task reads are lost: the tasks of its job that made them are to run again, and this one after them. Its
  // attempt is given back. What was made and lost max_attempts times (and no less than twice) fails the job with `failure`.
  virtual absl::StatusOr<TaskEnd> RemakeInputs(const TaskLease& lease, const std::vector<std::string>& sha256s,
                                               const TaskFailure& failure) = 0;
  // The worker stopped because MustStop said so.
  virtual absl::StatusOr<TaskEnd> StopTask(const TaskLease& lease) = 0;
  // The worker is shutting down: back to pending, and the attempt does not count.
  virtual absl::Status ReleaseTask(const TaskLease& lease) = 0;
  // The kept result of an identical task; renews its blobs' grace so that they outlive the FinishTask that names them.
  virtual absl::StatusOr<std::optional<CachedResult>> FindTaskResult(const std::string& cache_key) = 0;
  // Notes that the blob is (about to be) stored and renews its grace period.
  virtual absl::Status RegisterBlob(const BlobDigest& digest) = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_TASK_STORE_H_
