// Scheduler: the worker threads of this process. Each claims a task, runs it, and claims the next.
#ifndef NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_
#define NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/store/job_store.h"
#include "server/worker/task_runner.h"

namespace nashswarm::server {

class Scheduler {
 public:
  // Nothing is owned; everything outlives the scheduler. `process_id` names this process among others: a lease's owner
  // is "<process_id>/<worker>".
  Scheduler(JobStore* jobs, TaskRunner* runner, EventHub* hub, Metrics* metrics, std::string process_id,
            std::chrono::milliseconds lease);
  ~Scheduler();

  void Start(int workers);
  // Stops claiming, kills and releases what runs, and waits for the threads. Idempotent.
  void Stop();

 private:
  void WorkerLoop(int index);

  JobStore* jobs_;
  TaskRunner* runner_;
  EventHub* hub_;
  Metrics* metrics_;
  std::string process_id_;
  int64_t lease_us_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_SCHEDULER_H_
