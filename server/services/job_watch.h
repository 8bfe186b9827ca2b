// JobWatch: one WatchJob stream, without gRPC, so that a test can drive it. A snapshot comes first; then stored events,
// live progress and a snapshot on every state change, until the job has ended.
#ifndef NASHSWARM_SERVER_SERVICES_JOB_WATCH_H_
#define NASHSWARM_SERVER_SERVICES_JOB_WATCH_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "server/events/event_hub.h"
#include "server/store/job_store.h"

namespace nashswarm::server {

class JobWatch {
 public:
  using Write = std::function<bool(const v1::JobEvent&)>;  // false: the reader has gone

  JobWatch(JobStore* jobs, EventHub* hub, std::chrono::milliseconds keepalive, std::string tenant,
           std::string job_id, int64_t after_sequence)
      : jobs_(jobs), hub_(hub), keepalive_(keepalive), tenant_(std::move(tenant)), job_id_(std::move(job_id)),
        sequence_(after_sequence) {}

  // ok once the job has ended and everything was written; UNAVAILABLE / SHUTTING_DOWN when the server drains;
  // CANCELLED when the reader has gone; NOT_FOUND when there is no such job (any more).
  absl::Status Run(const Write& write, const std::function<bool()>& cancelled);

 private:
  absl::Status SendNews(const Write& write, bool* ended);
  absl::Status Send(const Write& write, v1::JobEvent event);

  JobStore* jobs_;
  EventHub* hub_;
  std::chrono::milliseconds keepalive_;
  std::string tenant_, job_id_;
  int64_t sequence_;
  v1::Job shown_;
  bool first_ = true;
  std::chrono::steady_clock::time_point last_write_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_JOB_WATCH_H_
