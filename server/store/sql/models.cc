// SqlStore: models and artifacts, and the rows that everything shares.
#include "core/base/json.h"
#include "server/store/ids.h"
#include "server/store/sql/rows.h"
#include "server/store/sql/schema.h"
#include "server/store/sql/sql_store.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::Query;

absl::StatusOr<std::unique_ptr<SqlStore>> SqlStore::Open(std::unique_ptr<sql::Database> database) {
  NS_RETURN_IF_ERROR(sql::MigrateSchema(*database));
  return std::unique_ptr<SqlStore>(new SqlStore(std::move(database)));
}

// ---- rows

absl::StatusOr<int64_t> Now(Connection& db) {
  Query query = db.Select("SELECT now_us()");
  if (!query.Next()) return query.status();
  return query.Int(0);
}

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

absl::Status LoadFiles(Connection& db, const std::string& tenant, const std::string& owner,
                       google::protobuf::RepeatedPtrField<v1::FileEntry>* out) {
  Query query = db.Select(
      "SELECT f.path, f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.tenant = ? AND "
      "f.owner = ? ORDER BY f.path",
      tenant, owner);
  while (query.Next()) {
    v1::FileEntry* file = out->Add();
    file->set_path(query.Text(0));
    file->mutable_digest()->set_sha256(query.Bytes(1));
    file->mutable_digest()->set_size_bytes(query.Int(2));
  }
  return query.status();
}

absl::Status InsertFile(Connection& db, const std::string& tenant, const std::string& owner, const std::string& path,
                        const std::string& sha256) {
  return db
      .Execute("INSERT INTO files (tenant, owner, path, blob) VALUES (?, ?, ?, ?)", tenant, owner, path, Blob{sha256})
      .status();
}

absl::Status CheckStoredBytes(Connection& db, const std::string& tenant, int64_t more, int64_t limit) {
  if (limit == 0) return absl::OkStatus();
  Query query = db.Select(
      "SELECT coalesce((SELECT sum(total_bytes) FROM models WHERE tenant = ?), 0) + "
      "coalesce((SELECT sum(total_bytes) FROM artifacts WHERE tenant = ?), 0) + "
      "coalesce((SELECT sum(f.size_bytes) FROM uploads u JOIN upload_files f ON f.upload_id = u.id "
      "WHERE u.tenant = ? AND u.state = 1), 0)",
      tenant, tenant, tenant);
  if (!query.Next()) return query.status();
  const int64_t stored = query.Int(0);
  if (stored <= limit - more) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
                   absl::StrCat(stored, " bytes are stored", more > 0 ? absl::StrCat(", ", more, " more are asked for") : "",
                                ", the limit is ", limit),
                   "delete models or artifacts that are no longer needed, or ask for a larger quota");
}

absl::StatusOr<std::string> FindByRequestId(Connection& db, const std::string& table, const std::string& tenant,
                                            const std::string& request_id, const std::string& request_digest) {
  if (request_id.empty()) return std::string();
  const std::string text =
      absl::StrCat("SELECT id, request_digest FROM ", table, " WHERE tenant = ? AND request_id = ?");
  Query query = db.Select(text.c_str(), tenant, request_id);
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

absl::StatusOr<v1::Model> LoadModel(Connection& db, const std::string& tenant, const std::string& id) {
  v1::Model model;
  {
    Query query = db.Select(
        "SELECT manifest_sha, manifest_size, architecture, parameters, tensors, total_bytes, weight_bytes, labels, "
        "created_us, kind FROM models WHERE tenant = ? AND id = ?",
        tenant, id);
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
  NS_RETURN_IF_ERROR(LoadFiles(db, tenant, model.name(), model.mutable_files()));
  return model;
}

absl::StatusOr<v1::Model> SqlStore::GetModel(const std::string& tenant, const std::string& id) {
  return database_->Read([&](Connection& db) { return LoadModel(db, tenant, id); });
}

absl::StatusOr<std::optional<v1::Model>> SqlStore::FindModelByManifest(const std::string& tenant,
                                                                          const std::string& manifest_sha256,
                                                                          v1::Model::Kind kind) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::optional<v1::Model>> {
    std::string id;
    {
      Query query = db.Select(
          "SELECT id FROM models WHERE tenant = ? AND manifest_sha = ? AND kind = ? ORDER BY created_us, id LIMIT 1",
          tenant, Blob{manifest_sha256}, static_cast<int>(kind));
      if (!query.Next()) {
        NS_RETURN_IF_ERROR(query.status());
        return std::nullopt;
      }
      id = query.Text(0);
    }
    return LoadModel(db, tenant, id);
  });
}

absl::StatusOr<Page<v1::Model>> SqlStore::ListModels(const std::string& tenant, const PageRequest& request) {
  return database_->Read(
      [&](Connection& db) { return LoadPage<v1::Model>(db, "models", tenant, "", request, LoadModel); });
}

absl::Status SqlStore::DeleteModel(const std::string& tenant, const std::string& id) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const v1::Model model, LoadModel(db, tenant, id));
    {
      Query query = db.Select(
          "SELECT id FROM jobs WHERE tenant = ? AND model_id = ? AND state IN (1, 2) UNION ALL "
          "SELECT j.id FROM job_data d JOIN jobs j ON j.id = d.job_id WHERE d.model_id = ? AND j.tenant = ? AND "
          "j.state IN (1, 2) LIMIT 1",
          tenant, id, id, tenant);
      if (query.Next()) {
        const std::string job = query.Text(0);
        return MakeError(absl::StatusCode::kFailedPrecondition, "MODEL_IN_USE",
                         absl::StrCat("models/", id, " is used by jobs/", job),
                         absl::StrCat("wait for the job, or cancel it: nashswarm jobs cancel ", job));
      }
      NS_RETURN_IF_ERROR(query.status());
    }
    NS_RETURN_IF_ERROR(db.Execute("DELETE FROM files WHERE tenant = ? AND owner = ?", tenant, model.name()).status());
    NS_RETURN_IF_ERROR(db.Execute("DELETE FROM models WHERE tenant = ? AND id = ?", tenant, id).status());
    const Blob manifest{model.manifest_digest().sha256()};
    return db
        .Execute("DELETE FROM task_results WHERE tenant = ? AND model_sha = ? AND NOT EXISTS "
                 "(SELECT 1 FROM models WHERE tenant = ? AND manifest_sha = ?)",
                 tenant, manifest, tenant, manifest)
        .status();
  });
}

// ---- artifacts

namespace {

absl::StatusOr<v1::Artifact> LoadArtifact(Connection& db, const std::string& tenant, const std::string& id) {
  v1::Artifact artifact;
  {
    Query query = db.Select(
        "SELECT job_id, model_id, format, total_bytes, created_us FROM artifacts WHERE id = ? AND tenant = ?", id,
        tenant);
    if (!query.Next()) return query.status().ok() ? NotFound("artifacts", id) : query.status();
    artifact.set_name(NameOf("artifacts", id));
    artifact.set_job(NameOf("jobs", query.Text(0)));
    artifact.set_model(NameOf("models", query.Text(1)));
    artifact.set_format(query.Text(2));
    artifact.set_total_bytes(query.Int(3));
    SetTime(query.Int(4), artifact.mutable_create_time());
  }
  NS_RETURN_IF_ERROR(LoadFiles(db, tenant, artifact.name(), artifact.mutable_files()));
  return artifact;
}

}  // namespace

absl::StatusOr<v1::Artifact> SqlStore::GetArtifact(const std::string& tenant, const std::string& id) {
  return database_->Read([&](Connection& db) { return LoadArtifact(db, tenant, id); });
}

absl::StatusOr<Page<v1::Artifact>> SqlStore::ListArtifacts(const std::string& tenant, const PageRequest& request) {
  return database_->Read(
      [&](Connection& db) { return LoadPage<v1::Artifact>(db, "artifacts", tenant, "", request, LoadArtifact); });
}

absl::Status SqlStore::DeleteArtifact(const std::string& tenant, const std::string& id) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const int64_t deleted,
                        db.Execute("DELETE FROM artifacts WHERE id = ? AND tenant = ?", id, tenant));
    if (deleted == 0) return NotFound("artifacts", id);
    return db.Execute("DELETE FROM files WHERE tenant = ? AND owner = ?", tenant, NameOf("artifacts", id)).status();
  });
}

absl::StatusOr<BlobDigest> SqlStore::FindFile(const std::string& tenant, const std::string& owner,
                                                 const std::string& path) {
  return database_->Read([&](Connection& db) -> absl::StatusOr<BlobDigest> {
    {
      Query query = db.Select(
          "SELECT f.blob, b.size_bytes FROM files f JOIN blobs b ON b.sha256 = f.blob WHERE f.tenant = ? AND "
          "f.owner = ? AND f.path = ?",
          tenant, owner, path);
      if (query.Next()) return BlobDigest{query.Bytes(0), query.Int(1)};
      NS_RETURN_IF_ERROR(query.status());
    }
    const std::string id = owner.substr(owner.find('/') + 1);
    if (owner.starts_with("models/")) {
      NS_RETURN_IF_ERROR(LoadModel(db, tenant, id).status());
    } else {
      NS_RETURN_IF_ERROR(LoadArtifact(db, tenant, id).status());
    }
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", absl::StrCat(owner, " has no file '", path, "'"));
  });
}

}  // namespace nashswarm::server
