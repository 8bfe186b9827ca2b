// JobStore: what whoever takes jobs, shows them and tells of their events needs of the store. What every part of the store promises:
// store.h.
//
// Job states and their legal transitions (each a test-and-set inside a transaction):
//   QUEUED -> RUNNING (first claim) -> SUCCEEDED | FAILED | CANCELLED
//   QUEUED -> CANCELLED
//   FAILED | CANCELLED -> QUEUED (retry; finished tasks are kept)
#ifndef NASHSWARM_SERVER_STORE_JOB_STORE_H_
#define NASHSWARM_SERVER_STORE_JOB_STORE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/labels.h"
#include "server/store/page.h"
#include "server/store/task.h"

namespace nashswarm::server {

struct StoreStatistics {
  std::map<v1::Job::State, int64_t> jobs;
  int64_t tasks_pending = 0, tasks_running = 0;
  int64_t oldest_pending_us = 0;  // age of the longest-waiting claimable task
  int64_t blobs = 0, blob_bytes = 0, models = 0, artifacts = 0, active_uploads = 0;
};

// Unknown id: NOT_FOUND / JOB_NOT_FOUND.
class JobStore {
 public:
  virtual ~JobStore() = default;

  virtual absl::StatusOr<int64_t> NowMicros() = 0;

  struct NewJob {
    std::string tenant;
    std::string model_id;
    v1::CompressionSpec spec;
    std::string request_id, request_digest;
    int priority = 5;
    Labels labels;
    std::string traceparent;  // valid, or empty
    int max_attempts = 3;
    int max_queued_jobs = 0;            // of all tenants
    int64_t max_tenant_queued_jobs = 0;  // of this one; 0: no limit of its own
    int64_t max_stored_bytes = 0;        // a tenant beyond it gets no new jobs; 0: no limit
    int64_t room_bytes = INT64_MAX;      // what the disk has for what the job says
    NewTask first_task;
  };
  // Idempotent on request_id. NOT_FOUND / MODEL_NOT_FOUND, INVALID_ARGUMENT / NOT_A_CHECKPOINT (the model) or NOT_DATA
  // (what the spec's calibration or evaluation names), RESOURCE_EXHAUSTED / QUEUE_FULL, QUOTA_EXCEEDED,
  // NO_SPACE.
  virtual absl::StatusOr<v1::Job> CreateJob(const NewJob& job) = 0;
  virtual absl::StatusOr<v1::Job> GetJob(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<Page<v1::Job>> ListJobs(const std::string& tenant, const PageRequest& page,
                                                 v1::Job::State state) = 0;
  // Waiting tasks end at once; running ones when their worker notices. FAILED_PRECONDITION / JOB_ENDED.
  virtual absl::StatusOr<v1::Job> CancelJob(const std::string& tenant, const std::string& id) = 0;
  // FAILED_PRECONDITION / JOB_NOT_RETRIABLE unless FAILED or CANCELLED; NOT_FOUND / MODEL_NOT_FOUND when the model or a
  // data file is gone, FAILED_PRECONDITION / DATA_CHANGED when a data file's name has other content by now.
  virtual absl::StatusOr<v1::Job> RetryJob(const std::string& tenant, const std::string& id) = 0;
  virtual absl::Status DeleteJob(const std::string& tenant, const std::string& id) = 0;  // FAILED_PRECONDITION / JOB_NOT_ENDED
  // Stored events with sequence > after, in order, at most `limit`.
  virtual absl::StatusOr<std::vector<v1::JobEvent>> EventsAfter(const std::string& tenant, const std::string& id,
                                                              int64_t after, int limit) = 0;

  // How much there is of everything.
  virtual absl::StatusOr<StoreStatistics> Statistics() = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_JOB_STORE_H_
