// UploadStore: what whoever receives files needs of the store: uploads, their files and writers, and what becomes of them. What every
// part of the store promises, and the words used: store.h.
#ifndef NASHSWARM_SERVER_STORE_UPLOAD_STORE_H_
#define NASHSWARM_SERVER_STORE_UPLOAD_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/blob_store.h"
#include "server/store/labels.h"

namespace nashswarm::server {

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

// Unknown id: NOT_FOUND / UPLOAD_NOT_FOUND.
class UploadStore {
 public:
  virtual ~UploadStore() = default;

  virtual absl::StatusOr<int64_t> NowMicros() = 0;

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
  // A model of this content and kind, the oldest when there are several.
  virtual absl::StatusOr<std::optional<v1::Model>> FindModelByManifest(const std::string& tenant,
                                                                      const std::string& manifest_sha256,
                                                                      v1::Model::Kind kind) = 0;

  // Notes that the blob is (about to be) stored and renews its grace period.
  virtual absl::Status RegisterBlob(const BlobDigest& digest) = 0;
  // The size of a blob that something of the tenant names, whose grace period is renewed; nullopt otherwise: knowing a
  // digest gives no right to the content.
  virtual absl::StatusOr<std::optional<int64_t>> TouchOwnBlob(const std::string& tenant, const std::string& sha256) = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_UPLOAD_STORE_H_
