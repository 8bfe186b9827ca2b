// SqlStore: uploads and the publishing of models.
#include "server/store/disk_room.h"
#include "server/store/error_proto.h"
#include "server/store/ids.h"
#include "server/store/sql/fence.h"
#include "server/store/sql/rows.h"
#include "server/store/sql/sql_store.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::MaybeBlob;
using sql::MaybeText;
using sql::Query;

namespace {

// Other writers wait for the transaction.
constexpr int kExpireBatch = 100;
// What the database keeps of a file beside its path: a million empty files take room, too.
constexpr int64_t kRowBytes = 200;

absl::StatusOr<v1::Upload> LoadUpload(Connection& db, const std::string& tenant, const std::string& id) {
  v1::Upload upload;
  {
    Query query = db.Select("SELECT state, created_us, expires_us, published FROM uploads WHERE id = ? AND tenant = ?",
                            id, tenant);
    if (!query.Next()) return query.status().ok() ? NotFound("uploads", id) : query.status();
    upload.set_name(NameOf("uploads", id));
    upload.set_state(static_cast<v1::Upload::State>(query.Int(0)));
    SetTime(query.Int(1), upload.mutable_create_time());
    SetTime(query.Int(2), upload.mutable_expire_time());
    if (!query.IsNull(3)) upload.set_model(NameOf("models", query.Text(3)));
  }
  Query query = db.Select(
      "SELECT path, size_bytes, coalesce(sha256, expected_sha), committed, sha256 IS NOT NULL, deduplicated "
      "FROM upload_files WHERE upload_id = ? ORDER BY ordinal",
      id);
  while (query.Next()) {
    v1::Upload::File* file = upload.add_files();
    file->mutable_entry()->set_path(query.Text(0));
    file->mutable_entry()->mutable_digest()->set_size_bytes(query.Int(1));
    file->mutable_entry()->mutable_digest()->set_sha256(query.Bytes(2));
    file->set_committed_size(query.Int(3));
    file->set_complete(query.Int(4) != 0);
    file->set_deduplicated(query.Int(5) != 0);
  }
  NS_RETURN_IF_ERROR(query.status());
  return upload;
}

absl::Status NotActive(const std::string& id, int64_t state) {
  const std::string name = v1::Upload::State_Name(static_cast<v1::Upload::State>(state));
  return MakeError(absl::StatusCode::kFailedPrecondition, "UPLOAD_NOT_ACTIVE",
                   absl::StrCat("uploads/", id, " is ", name), "create a new upload");
}

absl::Status WriterFenced(const UploadWriter& writer) {
  return MakeError(absl::StatusCode::kAborted, "WRITER_FENCED",
                   absl::StrCat("uploads/", writer.upload_id, ": another writer took over '", writer.path, "'"),
                   "let one client at a time send a file");
}

// Ends an upload. Its bytes lose their last reference: staged parts at once, blobs unless something else names them.
absl::Status EndUpload(Connection& db, const std::string& id, v1::Upload::State state, const std::string& published) {
  NS_RETURN_IF_ERROR(db.Execute("UPDATE uploads SET state = ?, published = ?, ended_us = now_us() WHERE id = ?",
                                static_cast<int>(state), MaybeText{published}, id)
                         .status());
  NS_RETURN_IF_ERROR(
      db.Execute("UPDATE upload_files SET blob = NULL, writer_epoch = writer_epoch + 1 WHERE upload_id = ?", id)
          .status());
  return db.Execute("DELETE FROM upload_parts WHERE upload_id = ?", id).status();
}

absl::Status ForgetParts(Connection& db, const UploadWriter& writer) {
  return db.Execute("DELETE FROM upload_parts WHERE upload_id = ? AND path = ?", writer.upload_id, writer.path).status();
}

absl::Status Reopen(Connection& db, const std::string& id, const std::string& path) {
  NS_ASSIGN_OR_RETURN(
      const int64_t reopened,
      db.Execute("UPDATE upload_files SET committed = 0, sha256 = NULL, blob = NULL, hash_state = NULL, deduplicated = 0, "
                 "writer_epoch = writer_epoch + 1 WHERE upload_id = ? AND path = ? AND sha256 IS NOT NULL AND "
                 "EXISTS (SELECT 1 FROM uploads WHERE id = ? AND state = 1)",
                 id, path, id));
  if (reopened == 0) return absl::OkStatus();  // it is being sent again already, and has these parts
  return db.Execute("DELETE FROM upload_parts WHERE upload_id = ? AND path = ?", id, path).status();
}

// Of an upload that was made under the request's id before: whether it will do, now that the request's lost files are asked for.
absl::StatusOr<bool> AskForLostFiles(Connection& db, const std::string& id, const NewUpload& request) {
  int64_t state = 0;
  {
    Query query = db.Select("SELECT state FROM uploads WHERE id = ?", id);
    if (!query.Next()) return query.status();
    state = query.Int(0);
  }
  for (const NewUploadFile& file : request.files) {
    if (!file.lost) continue;
    if (state == v1::Upload::ACTIVE) {
      NS_RETURN_IF_ERROR(Reopen(db, id, file.path));
      continue;
    }
    NS_RETURN_IF_ERROR(db.Execute("UPDATE uploads SET request_id = NULL WHERE id = ?", id).status());
    return false;
  }
  return true;
}

absl::Status RenewExpiry(Connection& db, const std::string& id, int64_t ttl_us) {
  return db.Execute("UPDATE uploads SET expires_us = now_us() + ? WHERE id = ? AND state = 1", ttl_us, id).status();
}

}  // namespace

absl::StatusOr<v1::Upload> SqlStore::CreateUpload(const NewUpload& request) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<v1::Upload> {
    const std::string& tenant = request.tenant;
    NS_ASSIGN_OR_RETURN(const std::string known,
                        FindByRequestId(db, "uploads", tenant, request.request_id, request.request_digest));
    if (!known.empty()) {
      NS_ASSIGN_OR_RETURN(const bool usable, AskForLostFiles(db, known, request));
      if (usable) return LoadUpload(db, tenant, known);
    }
    int64_t bytes = 0, to_come = 0;
    for (const NewUploadFile& file : request.files) {
      bytes += file.size_bytes;
      to_come += static_cast<int64_t>(file.path.size()) + kRowBytes;
      if (!file.stored) to_come += file.size_bytes;
    }
    NS_RETURN_IF_ERROR(CheckStoredBytes(db, tenant, bytes, request.max_stored_bytes));
    if (to_come > request.room_bytes) return NoRoom("the upload", to_come, request.room_bytes);
    NS_ASSIGN_OR_RETURN(const int64_t now_us, Now(db));
    const std::string id = NewId(now_us);
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO uploads (id, tenant, state, model_id, kind, request_id, request_digest, labels, "
                   "created_us, expires_us) VALUES (?, ?, 1, ?, ?, ?, ?, ?, now_us(), now_us() + ?)",
                   id, tenant, MaybeText{request.model_id}, static_cast<int>(request.kind),
                   MaybeText{request.request_id}, MaybeBlob{request.request_digest}, LabelsToJson(request.labels),
                   request.ttl_us)
            .status());
    int ordinal = 0;
    for (const NewUploadFile& file : request.files) {
      const std::string stored = file.stored ? file.expected_sha256 : "";
      NS_RETURN_IF_ERROR(
          db.Execute("INSERT INTO upload_files (upload_id, path, ordinal, size_bytes, expected_sha, committed, sha256, "
                     "blob, deduplicated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     id, file.path, ordinal++, file.size_bytes, MaybeBlob{file.expected_sha256},
                     file.stored ? file.size_bytes : int64_t{0}, MaybeBlob{stored}, MaybeBlob{stored}, file.stored)
              .status());
    }
    return LoadUpload(db, tenant, id);
  });
}

absl::StatusOr<v1::Upload> SqlStore::GetUpload(const std::string& tenant, const std::string& id) {
  return database_->Read([&](Connection& db) { return LoadUpload(db, tenant, id); });
}

absl::StatusOr<UploadIntent> SqlStore::GetUploadIntent(const std::string& tenant, const std::string& id) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<UploadIntent> {
    Query query = db.Select("SELECT model_id, kind FROM uploads WHERE id = ? AND tenant = ?", id, tenant);
    if (!query.Next()) return query.status().ok() ? NotFound("uploads", id) : query.status();
    return UploadIntent{query.Text(0), static_cast<v1::Model::Kind>(query.Int(1))};
  });
}

absl::StatusOr<UploadWriter> SqlStore::OpenUploadFile(const std::string& tenant, const std::string& id,
                                                         const std::string& path, int64_t write_offset) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<UploadWriter> {
    UploadWriter writer;
    writer.upload_id = id;
    writer.path = path;
    {
      Query query = db.Select("SELECT state FROM uploads WHERE id = ? AND tenant = ?", id, tenant);
      if (!query.Next()) return query.status().ok() ? NotFound("uploads", id) : query.status();
      if (query.Int(0) != v1::Upload::ACTIVE) return NotActive(id, query.Int(0));
    }
    {
      Query query = db.Select(
          "SELECT size_bytes, committed, sha256, expected_sha, writer_epoch + 1, hash_state FROM upload_files "
          "WHERE upload_id = ? AND path = ?",
          id, path);
      if (!query.Next()) {
        if (!query.status().ok()) return query.status();
        return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_IN_UPLOAD",
                         absl::StrCat("uploads/", id, " has no file '", path, "'"),
                         "name one of the paths given to CreateUpload");
      }
      writer.size_bytes = query.Int(0);
      writer.committed = query.Int(1);
      writer.complete = !query.IsNull(2);
      writer.sha256 = query.Bytes(2);
      writer.expected_sha256 = query.Bytes(3);
      writer.epoch = query.Int(4);
      writer.hash_state = query.Bytes(5);
    }
    if (writer.committed != write_offset) {
      const absl::Status mismatch = MakeError(
          absl::StatusCode::kAborted, "OFFSET_MISMATCH",
          absl::StrCat("'", path, "': ", writer.committed, " bytes are stored, the stream starts at ", write_offset),
          absl::StrCat("continue at byte ", writer.committed));
      return WithMetadata(mismatch, "committed_size", absl::StrCat(writer.committed));
    }
    {
      Query query = db.Select(
          "SELECT storage_key, size_bytes FROM upload_parts WHERE upload_id = ? AND path = ? ORDER BY start", id, path);
      while (query.Next()) writer.parts.push_back({query.Text(0), query.Int(1)});
      NS_RETURN_IF_ERROR(query.status());
    }
    NS_RETURN_IF_ERROR(db.Execute("UPDATE upload_files SET writer_epoch = ? WHERE upload_id = ? AND path = ?",
                                  writer.epoch, id, path)
                           .status());
    return writer;
  });
}

absl::Status SqlStore::CommitUploadPart(const UploadWriter& writer, const StagedPart& part, int64_t part_start,
                                           const std::string& hash_state, int64_t ttl_us) {
  static const std::string kAdvance = absl::StrCat(
      "UPDATE upload_files SET committed = ?, hash_state = ? WHERE upload_id = ? AND path = ? AND sha256 IS NULL AND ",
      sql::kWriterFence);
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const int64_t updated,
                        db.Execute(kAdvance.c_str(), part_start + part.size_bytes, MaybeBlob{hash_state},
                                   writer.upload_id, writer.path, writer.epoch));
    if (updated == 0) return WriterFenced(writer);
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO upload_parts (upload_id, path, start, size_bytes, storage_key) VALUES (?, ?, ?, ?, ?) "
                   "ON CONFLICT (upload_id, path, start) DO UPDATE SET size_bytes = excluded.size_bytes, "
                   "storage_key = excluded.storage_key",
                   writer.upload_id, writer.path, part_start, part.size_bytes, part.key)
            .status());
    return RenewExpiry(db, writer.upload_id, ttl_us);
  });
}

absl::Status SqlStore::CompleteUploadFile(const UploadWriter& writer, const std::string& sha256, int64_t ttl_us) {
  static const std::string kComplete =
      absl::StrCat("UPDATE upload_files SET committed = size_bytes, sha256 = ?, blob = ?, hash_state = NULL WHERE "
                   "upload_id = ? AND path = ? AND ",
                   sql::kWriterFence);
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(
        const int64_t updated,
        db.Execute(kComplete.c_str(), Blob{sha256}, Blob{sha256}, writer.upload_id, writer.path, writer.epoch));
    if (updated == 0) return WriterFenced(writer);
    NS_RETURN_IF_ERROR(ForgetParts(db, writer));
    return RenewExpiry(db, writer.upload_id, ttl_us);
  });
}

absl::Status SqlStore::ResetUploadFile(const UploadWriter& writer) {
  static const std::string kReset = absl::StrCat(
      "UPDATE upload_files SET committed = 0, hash_state = NULL WHERE upload_id = ? AND path = ? AND sha256 IS NULL AND ",
      sql::kWriterFence);
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const int64_t updated,
                        db.Execute(kReset.c_str(), writer.upload_id, writer.path, writer.epoch));
    return updated == 0 ? WriterFenced(writer) : ForgetParts(db, writer);
  });
}

absl::Status SqlStore::ReopenUploadFile(const std::string& upload_id, const std::string& path) {
  return database_->Write([&](Connection& db) { return Reopen(db, upload_id, path); });
}

absl::StatusOr<v1::Model> SqlStore::PublishModel(const std::string& tenant, const std::string& upload_id,
                                                    const NewModel& model) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<v1::Model> {
    NS_ASSIGN_OR_RETURN(const v1::Upload upload, LoadUpload(db, tenant, upload_id));
    if (upload.state() == v1::Upload::COMPLETED) return LoadModel(db, tenant, IdOf(upload.model()));
    if (upload.state() != v1::Upload::ACTIVE) return NotActive(upload_id, upload.state());
    int64_t total_bytes = 0;
    for (const v1::Upload::File& file : upload.files()) {
      total_bytes += file.entry().digest().size_bytes();
      if (file.complete()) continue;
      return MakeError(absl::StatusCode::kFailedPrecondition, "UPLOAD_INCOMPLETE",
                       absl::StrCat("'", file.entry().path(), "' has ", file.committed_size(), " of ",
                                    file.entry().digest().size_bytes(), " bytes"),
                       "send the rest of the file");
    }
    const absl::StatusOr<v1::Model> known = LoadModel(db, tenant, model.id);
    if (known.ok()) {
      if (known->manifest_digest().sha256() != model.manifest.sha256 || known->kind() != model.kind) {
        return MakeError(absl::StatusCode::kAlreadyExists, "MODEL_EXISTS",
                         absl::StrCat("models/", model.id, " exists and has other content",
                                      known->kind() == model.kind ? "" : " (it is of another kind)"),
                         "choose another model id, or delete the old model first");
      }
      NS_RETURN_IF_ERROR(EndUpload(db, upload_id, v1::Upload::COMPLETED, model.id));
      return *known;
    }
    if (!absl::IsNotFound(known.status())) return known.status();
    NS_RETURN_IF_ERROR(
        db.Execute("INSERT INTO models (tenant, id, kind, manifest_sha, manifest_size, architecture, parameters, "
                   "tensors, total_bytes, weight_bytes, labels, created_us) "
                   "SELECT tenant, ?, ?, ?, ?, ?, ?, ?, ?, ?, labels, now_us() FROM uploads WHERE id = ?",
                   model.id, static_cast<int>(model.kind), Blob{model.manifest.sha256}, model.manifest.size_bytes,
                   model.architecture, model.parameter_count, model.tensor_count, total_bytes, model.weight_bytes,
                   upload_id)
            .status());
    for (const v1::Upload::File& file : upload.files()) {
      NS_RETURN_IF_ERROR(
          InsertFile(db, tenant, NameOf("models", model.id), file.entry().path(), file.entry().digest().sha256()));
    }
    NS_RETURN_IF_ERROR(EndUpload(db, upload_id, v1::Upload::COMPLETED, model.id));
    return LoadModel(db, tenant, model.id);
  });
}

absl::Status SqlStore::AbortUpload(const std::string& tenant, const std::string& id) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    int64_t state = 0;
    {
      Query query = db.Select("SELECT state FROM uploads WHERE id = ? AND tenant = ?", id, tenant);
      if (!query.Next()) return query.status().ok() ? NotFound("uploads", id) : query.status();
      state = query.Int(0);
    }
    if (state == v1::Upload::COMPLETED) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "UPLOAD_COMPLETED",
                       absl::StrCat("uploads/", id, " has become a model"), "delete the model instead");
    }
    if (state != v1::Upload::ACTIVE) return absl::OkStatus();
    return EndUpload(db, id, v1::Upload::ABORTED, "");
  });
}

absl::StatusOr<int64_t> SqlStore::ExpireUploads() {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<int64_t> {
    std::vector<std::string> ids;
    {
      Query query = db.Select("SELECT id FROM uploads WHERE state = 1 AND expires_us <= now_us() LIMIT ?", kExpireBatch);
      while (query.Next()) ids.push_back(query.Text(0));
      NS_RETURN_IF_ERROR(query.status());
    }
    for (const std::string& id : ids) NS_RETURN_IF_ERROR(EndUpload(db, id, v1::Upload::EXPIRED, ""));
    return static_cast<int64_t>(ids.size());
  });
}

absl::StatusOr<std::vector<std::string>> SqlStore::ActiveUploads() {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<std::string>> {
    std::vector<std::string> ids;
    Query query = db.Select("SELECT id FROM uploads WHERE state = 1");
    while (query.Next()) ids.push_back(query.Text(0));
    NS_RETURN_IF_ERROR(query.status());
    return ids;
  });
}

}  // namespace nashswarm::server
