#include "server/store/sqlite_job_store.h"

#include <time.h>

#include "core/base/json.h"
#include "server/store/ids.h"
#include "server/store/sqlite_rows.h"
#include "server/store/sqlite_schema.h"

namespace nashswarm::server {

using sqlite::Blob;
using sqlite::Connection;
using sqlite::Query;

int64_t SystemNowMicros() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000 + now.tv_nsec / 1000;
}

absl::StatusOr<std::unique_ptr<SqliteJobStore>> SqliteJobStore::Open(const std::string& path,
                                                                     std::function<int64_t()> now_us) {
  NS_ASSIGN_OR_RETURN(auto database, sqlite::Database::Open(path, now_us));
  NS_RETURN_IF_ERROR(MigrateSchema(*database));
  return std::unique_ptr<SqliteJobStore>(new SqliteJobStore(std::move(database), std::move(now_us)));
}

// ---- rows

std::string LabelsToJson(const Labels& labels) { return Json(labels).dump(-1, ' ', false, Json::error_handler_t::replace); }

void LabelsFromJson(const std::string& json, google::protobuf::Map<std::string, std::string>* out) {
  const Json labels = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!labels.is_object()) return;
  for (const auto& [key, value] : labels.items()) {
    if (value.is_string()) (*out)[key] = value.get<std::string>();
  }
}

absl::Status NotFound(const char* what, const std::string& id) {
  const std::string upper = absl::StrCat(what[0] == 'u'   ? "UPLOAD"
                                         : what[0] == 'm' ? "MODEL"
                                         : what[0] == 'j' ? "JOB"
                                                          : "ARTIFACT",
                                         "_NOT_FOUND");
  return MakeError(absl::StatusCode::kNotFound, upper, absl::StrCat("there is no ", what, "/", id));
}

absl::Status LoadFiles(Connection& db, const std::string& owner,
                       google::protobuf::RepeatedPtrField<v1::FileEntry>* out) {
  Query query = db.Select(
      "SELECT f.path, f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.owner = ? "
      "ORDER BY f.path",
      owner);
  while (query.Next()) {
    v1::FileEntry* file = out->Add();
    file->set_path(query.Text(0));
    file->mutable_digest()->set_sha256(query.Bytes(1));
    file->mutable_digest()->set_size_bytes(query.Int(2));
  }
  return query.status();
}

absl::Status InsertFile(Connection& db, const std::string& owner, const std::string& path, const std::string& sha256) {
  return db.Execute("INSERT INTO files (owner, path, blob) VALUES (?, ?, ?)", owner, path, Blob{sha256}).status();
}

absl::StatusOr<std::string> FindByRequestId(Connection& db, const std::string& table, const std::string& request_id,
                                            const std::string& request_digest) {
  if (request_id.empty()) return std::string();
  const std::string sql = absl::StrCat("SELECT id, request_digest FROM ", table, " WHERE request_id = ?");
  Query query = db.Select(sql.c_str(), request_id);
  if (!query.Next()) {
    NS_RETURN_IF_ERROR(query.status());
    return std::string();
  }
  if (query.Bytes(1) != request_digest) {
    return MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                     absl::StrCat("request_id ", request_id, " belongs to ", table, "/", query.Text(0),
                                  ", which asked for something else"),
                     "use a new UUID for a new request");
  }
  return query.Text(0);
}

// ---- models

absl::StatusOr<v1::Model> LoadModel(Connection& db, const std::string& id) {
  v1::Model model;
  {
    Query query = db.Select(
        "SELECT manifest_sha, manifest_size, architecture, parameters, tensors, total_bytes, weight_bytes, labels, "
        "created_us, kind FROM models WHERE id = ?",
        id);
    if (!query.Next()) return query.status().ok() ? NotFound("models", id) : query.status();
    model.set_name(NameOf("models", id));
    model.mutable_manifest_digest()->set_sha256(query.Bytes(0));
    model.mutable_manifest_digest()->set_size_bytes(query.Int(1));
    model.set_architecture(query.Text(2));
    model.set_parameter_count(query.Int(3));
    model.set_tensor_count(query.Int(4));
    model.set_total_bytes(query.Int(5));
    model.set_weight_bytes(query.Int(6));
    LabelsFromJson(query.Text(7), model.mutable_labels());
    SetTime(query.Int(8), model.mutable_create_time());
    model.set_kind(static_cast<v1::Model::Kind>(query.Int(9)));
  }
  NS_RETURN_IF_ERROR(LoadFiles(db, model.name(), model.mutable_files()));
  return model;
}

absl::StatusOr<v1::Model> SqliteJobStore::GetModel(const std::string& id) {
  v1::Model model;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(model, LoadModel(db, id));
    return absl::OkStatus();
  }));
  return model;
}

absl::StatusOr<std::optional<v1::Model>> SqliteJobStore::FindModelByManifest(const std::string& manifest_sha256,
                                                                              v1::Model::Kind kind) {
  std::optional<v1::Model> model;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    std::string id;
    {
      Query query = db.Select(
          "SELECT id FROM models WHERE manifest_sha = ? AND kind = ? ORDER BY created_us, id LIMIT 1",
          Blob{manifest_sha256}, static_cast<int>(kind));
      if (!query.Next()) return query.status();
      id = query.Text(0);
    }
    NS_ASSIGN_OR_RETURN(model, LoadModel(db, id));
    return absl::OkStatus();
  }));
  return model;
}

absl::StatusOr<Page<v1::Model>> SqliteJobStore::ListModels(const PageRequest& request) {
  Page<v1::Model> page;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(page, LoadPage<v1::Model>(db, "models", "", request,
                                                  [&](const std::string& id) { return LoadModel(db, id); }));
    return absl::OkStatus();
  }));
  return page;
}

absl::Status SqliteJobStore::DeleteModel(const std::string& id) {
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const v1::Model model, LoadModel(db, id));
    {
      Query query = db.Select(
          "SELECT id FROM jobs WHERE model_id = ? AND state IN (1, 2) UNION ALL "
          "SELECT j.id FROM job_data d JOIN jobs j ON j.id = d.job_id WHERE d.model_id = ? AND j.state IN (1, 2) "
          "LIMIT 1",
          id, id);
      if (query.Next()) {
        const std::string job = query.Text(0);
        return MakeError(absl::StatusCode::kFailedPrecondition, "MODEL_IN_USE",
                         absl::StrCat("models/", id, " is used by jobs/", job),
                         absl::StrCat("wait for the job, or cancel it: nashswarm jobs cancel ", job));
      }
      NS_RETURN_IF_ERROR(query.status());
    }
    NS_RETURN_IF_ERROR(db.Execute("DELETE FROM files WHERE owner = ?", model.name()).status());
    NS_RETURN_IF_ERROR(db.Execute("DELETE FROM models WHERE id = ?", id).status());
    const Blob manifest{model.manifest_digest().sha256()};
    return db
        .Execute("DELETE FROM task_results WHERE model_sha = ? AND NOT EXISTS "
                 "(SELECT 1 FROM models WHERE manifest_sha = ?)",
                 manifest, manifest)
        .status();
  });
}

// ---- artifacts

namespace {

absl::StatusOr<v1::Artifact> LoadArtifact(Connection& db, const std::string& id) {
  v1::Artifact artifact;
  {
    Query query =
        db.Select("SELECT job_id, model_id, format, total_bytes, created_us FROM artifacts WHERE id = ?", id);
    if (!query.Next()) return query.status().ok() ? NotFound("artifacts", id) : query.status();
    artifact.set_name(NameOf("artifacts", id));
    artifact.set_job(NameOf("jobs", query.Text(0)));
    artifact.set_model(NameOf("models", query.Text(1)));
    artifact.set_format(query.Text(2));
    artifact.set_total_bytes(query.Int(3));
    SetTime(query.Int(4), artifact.mutable_create_time());
  }
  NS_RETURN_IF_ERROR(LoadFiles(db, artifact.name(), artifact.mutable_files()));
  return artifact;
}

}  // namespace

absl::StatusOr<v1::Artifact> SqliteJobStore::GetArtifact(const std::string& id) {
  v1::Artifact artifact;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(artifact, LoadArtifact(db, id));
    return absl::OkStatus();
  }));
  return artifact;
}

absl::StatusOr<Page<v1::Artifact>> SqliteJobStore::ListArtifacts(const PageRequest& request) {
  Page<v1::Artifact> page;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(page, LoadPage<v1::Artifact>(db, "artifacts", "", request,
                                                     [&](const std::string& id) { return LoadArtifact(db, id); }));
    return absl::OkStatus();
  }));
  return page;
}

absl::Status SqliteJobStore::DeleteArtifact(const std::string& id) {
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const int64_t deleted, db.Execute("DELETE FROM artifacts WHERE id = ?", id));
    if (deleted == 0) return NotFound("artifacts", id);
    return db.Execute("DELETE FROM files WHERE owner = ?", NameOf("artifacts", id)).status();
  });
}

absl::StatusOr<BlobDigest> SqliteJobStore::FindFile(const std::string& owner, const std::string& path) {
  BlobDigest digest;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    {
      Query query = db.Select(
          "SELECT f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.owner = ? AND f.path = ?",
          owner, path);
      if (query.Next()) {
        digest = {query.Bytes(0), query.Int(1)};
        return absl::OkStatus();
      }
      NS_RETURN_IF_ERROR(query.status());
    }
    const std::string id = owner.substr(owner.find('/') + 1);
    if (owner.starts_with("models/")) {
      NS_RETURN_IF_ERROR(LoadModel(db, id).status());
    } else {
      NS_RETURN_IF_ERROR(LoadArtifact(db, id).status());
    }
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", absl::StrCat(owner, " has no file '", path, "'"));
  }));
  return digest;
}

}  // namespace nashswarm::server
