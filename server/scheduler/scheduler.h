// Scheduler: the worker threads of this process. Each claims a task, runs it, and claims the next.
#ifndef NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_
#define NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/store/task_store.h"
#include "server/worker/task_runner.h"

namespace nashswarm::server {

struct SchedulerOptions {
  // Names this process among others: a lease's owner is "<process_id>/<worker>".
  std::string process_id;
  std::chrono::milliseconds lease{60000};
  // What running tasks may need together, and what is to stay free on the disk of `work_root`.
  int64_t memory_bytes = INT64_MAX;
  std::string work_root;
  int64_t disk_reserve_bytes = 0;
  std::function<int64_t(const std::string& tenant)> max_running_jobs;  // see ClaimLimits
};

class Scheduler {
 public:
  // Nothing is owned; everything outlives the scheduler.
  Scheduler(TaskStore* tasks, TaskRunner* runner, EventHub* hub, Metrics* metrics, SchedulerOptions options);
  ~Scheduler();

  void Start(int workers);
  // Stops claiming, kills and releases what runs, and waits for the threads. Idempotent.
  void Stop();

  // Says once per job, and in a gauge, which waiting tasks this process could not run even if it ran nothing else.
  // Start's workers do so by themselves every few seconds; public for tests.
  absl::Status NoteTooLarge();

 private:
  void WorkerLoop(int index);
  // A task that fits beside those that run here, its needs reserved.
  absl::StatusOr<std::optional<ClaimedTask>> Claim(const std::string& owner);
  void Release(const ClaimedTask& task);
  int64_t FreeDiskNow() const;
  void NoteTooLargeNowAndThen();

  TaskStore* tasks_;
  TaskRunner* runner_;
  EventHub* hub_;
  Metrics* metrics_;
  const SchedulerOptions options_;
  std::mutex claim_mutex_;  // one claim at a time: what is free must still be free when the task comes
  int64_t reserved_memory_ = 0, reserved_disk_ = 0;
  std::mutex note_mutex_;
  std::chrono::steady_clock::time_point next_note_{};
  std::set<std::string> too_large_;  // jobs that were told of
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_
