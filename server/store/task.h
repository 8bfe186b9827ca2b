// What a task of a job is: values that the store, the stages, the scheduler and the worker hand each other.
#ifndef NASHSWARM_SERVER_STORE_TASK_H_
#define NASHSWARM_SERVER_STORE_TASK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/model_file.h"

namespace nashswarm::server {

using Stage = v1::Job::Stage;

struct TaskKey {
  std::string job_id;
  Stage stage = v1::Job::STAGE_UNSPECIFIED;
  int shard = 0;
};
struct TaskLease {
  TaskKey key;
  std::string owner;
  int64_t epoch = 0;
};
struct TaskOutput {
  std::string name;  // path below out/
  BlobDigest digest;
};
// A file a job reads beside its checkpoint.
struct DataFile {
  std::string purpose;  // see server/stages/job_spec.h
  BlobDigest digest;
};
// What a worker can take on.
struct ClaimLimits {
  int64_t memory_bytes = INT64_MAX, disk_bytes = INT64_MAX;  // tasks that need more are left for others
  // Of jobs that run at a time, by tenant; none: no limit.
  std::function<int64_t(const std::string& tenant)> max_running_jobs;
};
struct ClaimedTask {
  TaskLease lease;
  std::string tenant;
  int attempt = 0;  // 1 for the first
  int shards = 0;   // of the stages that are cut into shards; 0 before PREPARE has ended
  int search_rounds = 0;  // of SEARCH; 0 before SOLVE has ended
  int64_t waited_us = 0;  // since it could first have been claimed
  int64_t need_memory_bytes = 0, need_disk_bytes = 0;
  std::string prepare_result_json;  // of the job's PREPARE; empty before it has ended
  v1::CompressionSpec spec;
  // DATA_LOSS / DATABASE_CORRUPT: the spec is lost. A task to claim all the same, and to fail: the others wait behind it.
  absl::Status spec_status;
  std::string model_id;
  int64_t model_weight_bytes = 0;
  std::string traceparent;  // may be empty
  BlobDigest model_manifest;
  std::vector<ModelFile> model_files;
  std::vector<DataFile> data;  // by purpose
};
struct NewTask {
  Stage stage;
  int shard = 0;
  int64_t need_memory_bytes = 0, need_disk_bytes = 0;  // 0: not known, fits anywhere
};
struct TaskProgress {
  int64_t weights_done = 0, weights_total = 0;
  std::string tensor;
};
struct JobSuccess {
  v1::Job::Result result;  // `artifact` is filled in by the store
  std::string format;
  std::vector<ModelFile> files;
};
struct TaskFinish {
  std::vector<TaskOutput> outputs;
  std::string result_json;
  std::string cache_key;              // raw; empty: the result is not kept for other jobs
  std::string cache_model;            // raw manifest digest: deleting the model drops its kept results
  int shards = 0;                     // set by PREPARE: how far stages fan out
  int64_t stage_weights = 0;          // set by PREPARE: weights of one pass over the model
  std::optional<int> search_rounds;   // set by SOLVE: rounds of SEARCH; again by a round that says it was the last
  std::vector<NewTask> next;          // what follows once every task of this stage has succeeded
  std::optional<JobSuccess> success;  // of the last stage
};
// What ending a task did to its job.
struct TaskEnd {
  bool job_ended = false;
  v1::Job::State job_state = v1::Job::STATE_UNSPECIFIED;
  int64_t job_duration_us = 0;  // from creation, when it ended
};
// A task whose worker vanished.
struct LostTask {
  TaskKey key;
  bool poison = false;  // lost too often: it failed its job
  TaskEnd end;
};
struct TaskFailure {
  v1::Error error;
  bool retriable = false;
  int64_t backoff_us = 0;  // before the next attempt
  bool crashed = false;    // the engine died without a word, as if it had taken its worker along
  int max_losses = 0;      // see ReapExpiredLeases
};
// How a finished task of a job ended.
struct TaskRecord {
  Stage stage = v1::Job::STAGE_UNSPECIFIED;
  int shard = 0;
  std::string result_json;
};
struct CachedResult {
  std::vector<TaskOutput> outputs;
  std::string result_json;
};

// Waiting tasks of one job that are too large for somebody.
struct LargeTasks {
  std::string job_id;
  int64_t tasks = 0;
  int64_t memory_bytes = 0, disk_bytes = 0;  // the greatest needs among them
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_TASK_H_
