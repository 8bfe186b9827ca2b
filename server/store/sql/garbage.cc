// SqlStore: blobs, their grace period, and what may be forgotten.
#include "server/store/sql/sql_store.h"
#include "server/store/sql/rows.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::Query;

namespace {

// Other writers wait for the transaction.
constexpr int kExpireBatch = 500;

// True for a blobs row `b` that no row names and nobody is about to name: it was touched longer ago than the grace
// period and before every running task was claimed (storing a large task's outputs can take longer than the grace).
// Each reference has an index on its blob column.
constexpr char kUnreferenced[] =
    " NOT EXISTS (SELECT 1 FROM files WHERE blob = b.sha256)"
    " AND NOT EXISTS (SELECT 1 FROM upload_files WHERE blob = b.sha256)"
    " AND NOT EXISTS (SELECT 1 FROM task_outputs WHERE blob = b.sha256)"
    " AND NOT EXISTS (SELECT 1 FROM task_result_outputs WHERE blob = b.sha256)"
    " AND b.touched_us <= now_us() - ?"
    " AND b.touched_us < coalesce((SELECT min(claimed_us) FROM tasks WHERE state = 'running'), b.touched_us + 1)";

}  // namespace

absl::Status SqlStore::RegisterBlob(const BlobDigest& digest) {
  return database_->Write([&](Connection& db) -> absl::Status {
    return db
        .Execute("INSERT INTO blobs (sha256, size_bytes, created_us, touched_us) VALUES (?, ?, now_us(), now_us()) "
                 "ON CONFLICT (sha256) DO UPDATE SET touched_us = excluded.touched_us",
                 Blob{digest.sha256}, digest.size_bytes)
        .status();
  });
}

absl::StatusOr<std::optional<int64_t>> SqlStore::TouchOwnBlob(const std::string& tenant, const std::string& sha256) {
  return database_->Write([&](Connection& db) -> absl::StatusOr<std::optional<int64_t>> {
    const Blob blob{sha256};
    NS_ASSIGN_OR_RETURN(
        const int64_t touched,
        db.Execute("UPDATE blobs SET touched_us = now_us() WHERE sha256 = ? AND "
                   "(EXISTS (SELECT 1 FROM files WHERE blob = ? AND tenant = ?) OR "
                   "EXISTS (SELECT 1 FROM upload_files f JOIN uploads u ON u.id = f.upload_id "
                   "WHERE f.blob = ? AND u.tenant = ?))",
                   blob, blob, tenant, blob, tenant));
    if (touched == 0) return std::nullopt;
    Query query = db.Select("SELECT size_bytes FROM blobs WHERE sha256 = ?", blob);
    if (!query.Next()) return query.status();
    return query.Int(0);
  });
}

absl::StatusOr<std::vector<BlobDigest>> SqlStore::UnreferencedBlobs(int64_t grace_us, int limit) {
  static const std::string kFind =
      absl::StrCat("SELECT b.sha256, b.size_bytes FROM blobs b WHERE", kUnreferenced, " LIMIT ?");
  return database_->Read([&](Connection& db) -> absl::StatusOr<std::vector<BlobDigest>> {
    std::vector<BlobDigest> blobs;
    Query query = db.Select(kFind.c_str(), grace_us, limit);
    while (query.Next()) blobs.push_back({query.Bytes(0), query.Int(1)});
    NS_RETURN_IF_ERROR(query.status());
    return blobs;
  });
}

absl::StatusOr<bool> SqlStore::RemoveBlob(const std::string& sha256, int64_t grace_us,
                                             const std::function<absl::Status()>& remove) {
  static const std::string kDelete = absl::StrCat("DELETE FROM blobs AS b WHERE b.sha256 = ? AND", kUnreferenced);
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<bool> {
    NS_ASSIGN_OR_RETURN(const int64_t deleted, db.Execute(kDelete.c_str(), Blob{sha256}, grace_us));
    if (deleted == 0) return false;
    // The row is locked: nobody can touch the blob or name it between this and the commit. After a crash in between the
    // row is back without its content; whoever relies on content asks the BlobStore, and the next collection drops the
    // row.
    NS_RETURN_IF_ERROR(remove());
    return true;
  });
}

absl::StatusOr<int64_t> SqlStore::ExpireRecords(int64_t upload_age_us, int64_t result_age_us) {
  return database_->WriteToFree([&](Connection& db) -> absl::StatusOr<int64_t> {
    NS_ASSIGN_OR_RETURN(
        const int64_t uploads,
        db.Execute("DELETE FROM uploads WHERE id IN "
                   "(SELECT id FROM uploads WHERE state <> 1 AND ended_us <= now_us() - ? LIMIT ?)",
                   upload_age_us, kExpireBatch));
    NS_ASSIGN_OR_RETURN(
        const int64_t results,
        db.Execute("DELETE FROM task_results WHERE cache_key IN "
                   "(SELECT cache_key FROM task_results WHERE used_us <= now_us() - ? LIMIT ?)",
                   result_age_us, kExpireBatch));
    return uploads + results;
  });
}

}  // namespace nashswarm::server
