// JobStore: everything nashswarmd must not forget, except bytes (those are the BlobStore's). Uploads, models, jobs,
// their leased tasks, artifacts, and which blobs each of them names.
//
// Every method may be called from any thread, is one transaction, and either happens whole or not at all. Returned
// values are copies the caller owns. Ids are bare ("01j..."); the API messages carry resource names ("jobs/01j...").
// Times are microseconds of the database clock, which is the only clock: durations go in, instants come out.
// Failures every method may have: UNAVAILABLE / DATABASE_BUSY or DATABASE_IO (try again), RESOURCE_EXHAUSTED /
// NO_SPACE, DATA_LOSS / DATABASE_CORRUPT. The others are named at the method.
//
// Tenants. What one tenant made another cannot see, not even that it is there: names are looked up within a tenant, and
// methods that take one answer NOT_FOUND for another's. Blobs are shared below: equal content is stored once.
//
// Fencing. A claim hands out a task with a new epoch; a WriteFile stream opens a file with a new writer epoch. Every
// later write names that epoch. When it matches no row the answer is ABORTED / FENCED (tasks) or WRITER_FENCED
// (uploads): somebody else has the work now, so the caller stops and discards what it did.
//
// Job states and their legal transitions (each a test-and-set inside a transaction):
//   QUEUED -> RUNNING (first claim) -> SUCCEEDED | FAILED | CANCELLED
//   QUEUED -> CANCELLED
//   FAILED | CANCELLED -> QUEUED (retry; finished tasks are kept)
// Task states: pending -> running -> succeeded | failed | cancelled; running -> pending (retry, release, lost lease);
//   pending -> cancelled; failed | cancelled -> pending (job retry).
#ifndef NASHSWARM_SERVER_STORE_JOB_STORE_H_
#define NASHSWARM_SERVER_STORE_JOB_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/blob_store.h"

namespace nashswarm::server {

using Labels = std::map<std::string, std::string>;
using Stage = v1::Job::Stage;

// A position in a list ordered by creation, newest first.
struct Cursor {
  int64_t created_us = 0;
  std::string id;
};
struct PageRequest {
  int size = 50;
  std::optional<Cursor> after;
};
template <typename T>
struct Page {
  std::vector<T> items;
  std::optional<Cursor> next;  // set when there may be more
};

// ---- uploads

struct NewUploadFile {
  std::string path;
  int64_t size_bytes = 0;
  std::string expected_sha256;  // raw, or empty when the client will only know at the end
  bool stored = false;          // the blob is there (and was just touched) and verified: complete from the start
  bool lost = false;            // the tenant has such a blob by name alone: its content is damaged or gone
};
struct NewUpload {
  std::string tenant;
  std::string model_id;    // may be empty
  v1::Model::Kind kind = v1::Model::CHECKPOINT;
  std::string request_id;  // may be empty
  std::string request_digest;  // of the whole request: the same id with another request is refused
  Labels labels;
  std::vector<NewUploadFile> files;
  int64_t ttl_us = 0;
  int64_t max_stored_bytes = 0;  // of the tenant, with this upload; 0: no limit
  int64_t room_bytes = INT64_MAX;  // what the disk has for files that are not stored yet
};
// What an upload is to become.
struct UploadIntent {
  std::string model_id;  // as asked for, may be empty
  v1::Model::Kind kind = v1::Model::CHECKPOINT;
};
// What a writer of one upload file holds.
struct UploadWriter {
  std::string upload_id, path;
  int64_t epoch = 0;
  int64_t size_bytes = 0;  // declared
  int64_t committed = 0;
  bool complete = false;
  std::string sha256;           // of the whole file when complete
  std::string expected_sha256;  // as declared, may be empty
  std::vector<StagedPart> parts;  // what makes up [0, committed)
  std::string hash_state;         // Sha256::Save() after [0, committed); empty: not known
};
struct NewModel {
  std::string id;
  v1::Model::Kind kind = v1::Model::CHECKPOINT;
  BlobDigest manifest;
  std::string architecture;
  int64_t parameter_count = 0, tensor_count = 0, weight_bytes = 0;
};

// ---- tasks

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
struct ModelFile {
  std::string path;
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

struct StoreStatistics {
  std::map<v1::Job::State, int64_t> jobs;
  int64_t tasks_pending = 0, tasks_running = 0;
  int64_t oldest_pending_us = 0;  // age of the longest-waiting claimable task
  int64_t blobs = 0, blob_bytes = 0, models = 0, artifacts = 0, active_uploads = 0;
};

class JobStore {
 public:
  virtual ~JobStore() = default;

  virtual absl::StatusOr<int64_t> NowMicros() = 0;

  // ---- uploads. Unknown id: NOT_FOUND / UPLOAD_NOT_FOUND.

  // Idempotent on request_id; another request under the same id: INVALID_ARGUMENT / REQUEST_ID_REUSED. Content that is `lost`
  // is asked for again: an upload of that id that has ended gives it up to a new one, an active one loses the file's bytes.
  // RESOURCE_EXHAUSTED / QUOTA_EXCEEDED, NO_SPACE.
  virtual absl::StatusOr<v1::Upload> CreateUpload(const NewUpload& upload) = 0;
  virtual absl::StatusOr<v1::Upload> GetUpload(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<UploadIntent> GetUploadIntent(const std::string& tenant, const std::string& id) = 0;
  // Fences the file's earlier writer. ABORTED / OFFSET_MISMATCH (metadata committed_size), NOT_FOUND /
  // FILE_NOT_IN_UPLOAD, FAILED_PRECONDITION / UPLOAD_NOT_ACTIVE.
  virtual absl::StatusOr<UploadWriter> OpenUploadFile(const std::string& tenant, const std::string& id,
                                                      const std::string& path, int64_t write_offset) = 0;
  // `part` is this writer's, begins at `part_start` and is durable; renews the upload's expiry.
  // `hash_state` is of everything up to the part's end.
  virtual absl::Status CommitUploadPart(const UploadWriter& writer, const StagedPart& part, int64_t part_start,
                                        const std::string& hash_state, int64_t ttl_us) = 0;
  // The blob is registered and in the BlobStore.
  virtual absl::Status CompleteUploadFile(const UploadWriter& writer, const std::string& sha256, int64_t ttl_us) = 0;
  // Back to byte 0.
  virtual absl::Status ResetUploadFile(const UploadWriter& writer) = 0;
  // A complete file of an active upload whose content is lost: back to byte 0, whoever writes it.
  virtual absl::Status ReopenUploadFile(const std::string& upload_id, const std::string& path) = 0;
  // Makes the model of a whole upload visible and ends the upload. Idempotent: a completed upload returns its model,
  // and a model of the same id and content is returned as it is. ALREADY_EXISTS / MODEL_EXISTS when the id names
  // other content or another kind; FAILED_PRECONDITION / UPLOAD_INCOMPLETE, UPLOAD_NOT_ACTIVE.
  virtual absl::StatusOr<v1::Model> PublishModel(const std::string& tenant, const std::string& upload_id,
                                                 const NewModel& model) = 0;
  // ok when it has ended already, except FAILED_PRECONDITION / UPLOAD_COMPLETED.
  virtual absl::Status AbortUpload(const std::string& tenant, const std::string& id) = 0;

  // ---- models. Unknown id: NOT_FOUND / MODEL_NOT_FOUND.

  virtual absl::StatusOr<v1::Model> GetModel(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<std::optional<v1::Model>> FindModelByManifest(const std::string& tenant,
                                                                      const std::string& manifest_sha256,
                                                                      v1::Model::Kind kind) = 0;
  virtual absl::StatusOr<Page<v1::Model>> ListModels(const std::string& tenant, const PageRequest& page) = 0;
  // FAILED_PRECONDITION / MODEL_IN_USE while an unfinished job works on it or reads it as data.
  virtual absl::Status DeleteModel(const std::string& tenant, const std::string& id) = 0;

  // ---- jobs. Unknown id: NOT_FOUND / JOB_NOT_FOUND.

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

  // ---- tasks

  // The most urgent task that may run now, leased to `owner`; nullopt when there is none.
  virtual absl::StatusOr<std::optional<ClaimedTask>> ClaimTask(const std::string& owner, int64_t lease_us,
                                                              const ClaimLimits& limits = {}) = 0;
  // Waiting tasks that need more than this, by job.
  virtual absl::StatusOr<std::vector<LargeTasks>> TasksBeyond(int64_t memory_bytes, int64_t disk_bytes) = 0;
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
  // Tasks whose lease has run out go back to pending (or end with a cancelled job). A worker that vanishes is most likely
  // not the task's fault, so the attempt is given back; but a task that was lost `max_losses` times, or whose engine
  // crashed as often, fails its job as POISON.
  virtual absl::StatusOr<std::vector<LostTask>> ReapExpiredLeases(int max_losses) = 0;
  // The same for every lease: at start-up of the only process that uses the store.
  virtual absl::StatusOr<std::vector<LostTask>> ReapEveryLease(int max_losses) = 0;
  // The kept result of an identical task; renews its blobs' grace so that they outlive the FinishTask that names them.
  virtual absl::StatusOr<std::optional<CachedResult>> FindTaskResult(const std::string& cache_key) = 0;

  // ---- artifacts. Unknown id: NOT_FOUND / ARTIFACT_NOT_FOUND.

  virtual absl::StatusOr<v1::Artifact> GetArtifact(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<Page<v1::Artifact>> ListArtifacts(const std::string& tenant, const PageRequest& page) = 0;
  virtual absl::Status DeleteArtifact(const std::string& tenant, const std::string& id) = 0;
  // The file `path` of "models/{id}" or "artifacts/{id}". NOT_FOUND / FILE_NOT_FOUND when the owner has no such file.
  virtual absl::StatusOr<BlobDigest> FindFile(const std::string& tenant, const std::string& owner,
                                              const std::string& path) = 0;

  // ---- blobs and garbage

  // Notes that the blob is (about to be) stored and renews its grace period.
  virtual absl::Status RegisterBlob(const BlobDigest& digest) = 0;
  // The size of a blob that something of the tenant names, whose grace period is renewed; nullopt otherwise: knowing a
  // digest gives no right to the content.
  virtual absl::StatusOr<std::optional<int64_t>> TouchOwnBlob(const std::string& tenant, const std::string& sha256) = 0;
  // Blobs that nothing names and that were not touched for `grace_us`, nor since any running task was claimed.
  virtual absl::StatusOr<std::vector<BlobDigest>> UnreferencedBlobs(int64_t grace_us, int limit) = 0;
  // Forgets the blob if that still holds, calling `remove` while no reference can be added; returns whether it did.
  virtual absl::StatusOr<bool> RemoveBlob(const std::string& sha256, int64_t grace_us,
                                          const std::function<absl::Status()>& remove) = 0;
  // Ends uploads past their expiry, a number of them at a time; returns how many. 0: there are no more.
  virtual absl::StatusOr<int64_t> ExpireUploads() = 0;
  virtual absl::StatusOr<std::vector<std::string>> ActiveUploads() = 0;
  // Drops ended uploads and kept task results older than these ages, a number of them at a time; returns how many.
  virtual absl::StatusOr<int64_t> ExpireRecords(int64_t upload_age_us, int64_t result_age_us) = 0;

  virtual absl::StatusOr<StoreStatistics> Statistics() = 0;

  // Forgets everything, of every tenant, but kept task results, and of these the least recently used until the content of the
  // others has at most `max_bytes`. Nothing may be running: no worker, no call.
  virtual absl::Status ForgetAllButResults(int64_t max_bytes) = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_JOB_STORE_H_
