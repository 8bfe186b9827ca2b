// TaskRunner: takes one claimed task to its end. Reuses an identical task's outputs when there are any, otherwise lays
// the inputs out, runs the engine, stores the outputs, and tells the store how it went.
#ifndef NASHSWARM_SERVER_WORKER_TASK_RUNNER_H_
#define NASHSWARM_SERVER_WORKER_TASK_RUNNER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/store/task_store.h"
#include "server/worker/engine_runner.h"

namespace nashswarm::server {

struct WorkerOptions {
  std::string work_root;
  std::string engine_digest;  // raw: part of what identifies a task's outputs
  int threads = 1;            // of a task whose spec leaves it to the worker
  std::chrono::milliseconds lease{60000};
  std::chrono::milliseconds heartbeat{15000};
  std::chrono::milliseconds backoff{1000};  // before the second attempt; doubles
  std::chrono::seconds task_timeout{0};     // 0: none
  int64_t engine_memory_bytes = 0;          // what one engine may allocate; 0: no limit
  int max_losses = 2;                       // see MaintenanceStore::ReapExpiredLeases
};

class TaskSession;
class WorkDirectory;

// Thread-safe: each worker thread calls Run with its own task.
class TaskRunner {
 public:
  // Nothing is owned; everything outlives the runner.
  TaskRunner(TaskStore* tasks, BlobStore* blobs, EngineRunner* engine, EventHub* hub, Metrics* metrics,
             WorkerOptions options)
      : tasks_(tasks), blobs_(blobs), engine_(engine), hub_(hub), metrics_(metrics), options_(std::move(options)) {}

  void Run(const ClaimedTask& task);

  // Runs the engine's `validate` on a model that is not published yet; returns its result line. Stops when `cancelled`
  // says so (CANCELLED) or the server drains (UNAVAILABLE / SHUTTING_DOWN).
  absl::StatusOr<Json> Validate(const std::string& name, const std::vector<ModelFile>& files,
                                const std::function<bool()>& cancelled);

  // Every running task is killed and released; Run returns soon. Call EventHub::WakeRunning afterwards.
  void StopAll() { stopping_ = true; }

 private:
  // nullopt when nothing identical is kept.
  absl::StatusOr<std::optional<TaskFinish>> Reuse(const ClaimedTask& task, const std::string& cache_key,
                                                  const Between& between);
  int ThreadsOf(const ClaimedTask& task) const;
  absl::StatusOr<Json> DescribeTask(const ClaimedTask& task, const WorkDirectory& directory);
  // `lost` gets the digests of the inputs that other tasks of the job made and that are lost; then the task fails.
  absl::StatusOr<TaskFinish> Execute(const ClaimedTask& task, const std::vector<TaskOutput>& inputs, TaskSession* session,
                                     std::vector<std::string>* lost);
  absl::StatusOr<TaskFinish> Work(const ClaimedTask& task, TaskSession* session, bool* reused,
                                  std::vector<std::string>* lost);
  template <typename Call>
  auto Insist(const Call& call);
  absl::StatusOr<TaskEnd> Fail(const ClaimedTask& task, const absl::Status& error, const std::vector<std::string>& lost,
                               std::string* outcome);
  void NoteEnd(const ClaimedTask& task, const absl::StatusOr<TaskEnd>& end, const std::string& outcome, double seconds);

  TaskStore* tasks_;
  BlobStore* blobs_;
  EngineRunner* engine_;
  EventHub* hub_;
  Metrics* metrics_;
  WorkerOptions options_;
  std::atomic<bool> stopping_{false};
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_TASK_RUNNER_H_
