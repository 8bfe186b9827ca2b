// TaskSession: a running task's line to the store. Batches progress and events, keeps the lease alive while the worker
// is busy with something else, and learns of cancellation.
#ifndef NASHSWARM_SERVER_WORKER_TASK_SESSION_H_
#define NASHSWARM_SERVER_WORKER_TASK_SESSION_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/store/task_store.h"
#include "server/worker/engine_runner.h"
#include "server/worker/task_runner.h"

namespace nashswarm::server {

// The reasons with which a task stops without being at fault.
inline constexpr char kStopRequested[] = "STOP_REQUESTED";  // cancelled, or its job has ended
inline constexpr char kShuttingDown[] = "SHUTTING_DOWN";

// Used by the worker's thread; a second thread inside renews the lease.
class TaskSession : public EngineObserver {
 public:
  TaskSession(TaskStore* tasks, EventHub* hub, Metrics* metrics, const WorkerOptions& options, const ClaimedTask& task,
              const std::atomic<bool>* stopping);
  ~TaskSession() override;

  void OnProgress(const EngineProgress& progress) override;
  void OnTensor(const EngineTensor& tensor) override;
  void OnLog(const EngineLog& log) override;
  void OnStandardError(std::string_view line) override;
  // CANCELLED / STOP_REQUESTED, UNAVAILABLE / SHUTTING_DOWN, or ABORTED / FENCED when the task must stop.
  absl::Status OnTick() override;

  // Writes what is batched. The same errors as OnTick.
  absl::Status Flush();
  int wake_fd() const { return wake_fd_; }

 private:
  absl::Status Report();
  void KeepLease();

  TaskStore* tasks_;
  EventHub* hub_;
  Metrics* metrics_;
  const WorkerOptions& options_;
  const ClaimedTask& task_;
  const std::atomic<bool>* stopping_;
  std::string stage_;
  int wake_fd_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_;
  TaskProgress progress_;
  std::vector<v1::JobEvent> events_;
  bool dirty_ = false;
  bool done_ = false;
  std::chrono::steady_clock::time_point reported_;
  std::thread keeper_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_TASK_SESSION_H_
