// Store in SQL, on SQLite (one host) or PostgreSQL (many replicas). See store.h and its five parts for what the methods promise.
#ifndef NASHSWARM_SERVER_STORE_SQL_SQL_STORE_H_
#define NASHSWARM_SERVER_STORE_SQL_SQL_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/store/sql/database.h"
#include "server/store/store.h"

namespace nashswarm::server {

class SqlStore : public Store {
 public:
  // Brings the schema up to date first.
  static absl::StatusOr<std::unique_ptr<SqlStore>> Open(std::unique_ptr<sql::Database> database);

  absl::StatusOr<int64_t> NowMicros() override { return database_->NowMicros(); }
  absl::StatusOr<v1::Upload> CreateUpload(const NewUpload& upload) override;
  absl::StatusOr<v1::Upload> GetUpload(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<UploadIntent> GetUploadIntent(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<UploadWriter> OpenUploadFile(const std::string& tenant, const std::string& id, const std::string& path,
                                              int64_t write_offset) override;
  absl::Status CommitUploadPart(const UploadWriter& writer, const StagedPart& part, int64_t part_start,
                                const std::string& hash_state, int64_t ttl_us) override;
  absl::Status CompleteUploadFile(const UploadWriter& writer, const std::string& sha256, int64_t ttl_us) override;
  absl::Status ResetUploadFile(const UploadWriter& writer) override;
  absl::Status ReopenUploadFile(const std::string& upload_id, const std::string& path) override;
  absl::StatusOr<v1::Model> PublishModel(const std::string& tenant, const std::string& upload_id,
                                         const NewModel& model) override;
  absl::Status AbortUpload(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<v1::Model> GetModel(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<std::optional<v1::Model>> FindModelByManifest(const std::string& tenant,
                                                               const std::string& manifest_sha256,
                                                               v1::Model::Kind kind) override;
  absl::StatusOr<Page<v1::Model>> ListModels(const std::string& tenant, const PageRequest& page) override;
  absl::Status DeleteModel(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<v1::Job> CreateJob(const NewJob& job) override;
  absl::StatusOr<v1::Job> GetJob(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<Page<v1::Job>> ListJobs(const std::string& tenant, const PageRequest& page,
                                         v1::Job::State state) override;
  absl::StatusOr<v1::Job> CancelJob(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<v1::Job> RetryJob(const std::string& tenant, const std::string& id) override;
  absl::Status DeleteJob(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<std::vector<v1::JobEvent>> EventsAfter(const std::string& tenant, const std::string& id, int64_t after,
                                                        int limit) override;
  absl::StatusOr<std::optional<ClaimedTask>> ClaimTask(const std::string& owner, int64_t lease_us,
                                                       const ClaimLimits& limits = {}) override;
  absl::StatusOr<std::vector<LargeTasks>> TasksBeyond(int64_t memory_bytes, int64_t disk_bytes) override;
  absl::StatusOr<std::vector<TaskOutput>> TaskOutputs(const std::string& job_id,
                                                      const std::vector<Stage>& stages) override;
  absl::StatusOr<std::vector<TaskRecord>> TaskHistory(const std::string& job_id) override;
  absl::StatusOr<bool> ReportTask(const TaskLease& lease, int64_t lease_us, const TaskProgress& progress,
                                  const std::vector<v1::JobEvent>& events) override;
  absl::StatusOr<bool> MustStop(const TaskLease& lease) override;
  absl::StatusOr<TaskEnd> FinishTask(const TaskLease& lease, const TaskFinish& finish) override;
  absl::StatusOr<TaskEnd> FailTask(const TaskLease& lease, const TaskFailure& failure) override;
  absl::StatusOr<TaskEnd> RemakeInputs(const TaskLease& lease, const std::vector<std::string>& sha256s,
                                       const TaskFailure& failure) override;
  absl::StatusOr<TaskEnd> StopTask(const TaskLease& lease) override;
  absl::Status ReleaseTask(const TaskLease& lease) override;
  absl::StatusOr<std::optional<CachedResult>> FindTaskResult(const std::string& cache_key) override;
  absl::StatusOr<v1::Artifact> GetArtifact(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<Page<v1::Artifact>> ListArtifacts(const std::string& tenant, const PageRequest& page) override;
  absl::Status DeleteArtifact(const std::string& tenant, const std::string& id) override;
  absl::StatusOr<BlobDigest> FindFile(const std::string& tenant, const std::string& owner,
                                      const std::string& path) override;
  absl::Status RegisterBlob(const BlobDigest& digest) override;
  absl::StatusOr<std::optional<int64_t>> TouchOwnBlob(const std::string& tenant, const std::string& sha256) override;
  absl::StatusOr<std::vector<BlobDigest>> UnreferencedBlobs(int64_t grace_us, int limit) override;
  absl::StatusOr<bool> RemoveBlob(const std::string& sha256, int64_t grace_us,
                                  const std::function<absl::Status()>& remove) override;
  absl::StatusOr<int64_t> ExpireUploads() override;
  absl::StatusOr<std::vector<std::string>> ActiveUploads() override;
  absl::StatusOr<int64_t> ExpireRecords(int64_t upload_age_us, int64_t result_age_us) override;
  absl::StatusOr<StoreStatistics> Statistics() override;
  absl::Status ForgetAllButResults(int64_t max_bytes) override;
  absl::StatusOr<std::vector<LostTask>> ReapExpiredLeases(int max_losses) override {
    return Reap(/*every=*/false, max_losses);
  }
  absl::StatusOr<std::vector<LostTask>> ReapEveryLease(int max_losses) override {
    return Reap(/*every=*/true, max_losses);
  }

 private:
  explicit SqlStore(std::unique_ptr<sql::Database> database) : database_(std::move(database)) {}
  absl::StatusOr<std::vector<LostTask>> Reap(bool every, int max_losses);

  std::unique_ptr<sql::Database> database_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_SQL_SQL_STORE_H_
