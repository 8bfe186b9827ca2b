// SqliteJobStore: blobs, their grace period, and what may be forgotten.
#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_rows.h"

namespace nashswarm::server {

using sqlite::Blob;
using sqlite::Connection;
using sqlite::Query;

namespace {

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

absl::Status SqliteJobStore::RegisterBlob(const BlobDigest& digest) {
  return database_->Write([&](Connection& db) -> absl::Status {
    return db
        .Execute("INSERT INTO blobs (sha256, size_bytes, created_us, touched_us) VALUES (?, ?, now_us(), now_us()) "
                 "ON CONFLICT (sha256) DO UPDATE SET touched_us = excluded.touched_us",
                 Blob{digest.sha256}, digest.size_bytes)
        .status();
  });
}

absl::StatusOr<std::optional<int64_t>> SqliteJobStore::TouchBlob(const std::string& sha256) {
  std::optional<int64_t> size;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    NS_RETURN_IF_ERROR(db.Execute("UPDATE blobs SET touched_us = now_us() WHERE sha256 = ?", Blob{sha256}).status());
    Query query = db.Select("SELECT size_bytes FROM blobs WHERE sha256 = ?", Blob{sha256});
    if (query.Next()) size = query.Int(0);
    return query.status();
  }));
  return size;
}

absl::StatusOr<std::vector<BlobDigest>> SqliteJobStore::UnreferencedBlobs(int64_t grace_us, int limit) {
  std::vector<BlobDigest> blobs;
  NS_RETURN_IF_ERROR(database_->Read([&](Connection& db) -> absl::Status {
    const std::string sql =
        absl::StrCat("SELECT b.sha256, b.size_bytes FROM blobs b WHERE", kUnreferenced, " LIMIT ?");
    Query query = db.Select(sql.c_str(), grace_us, limit);
    while (query.Next()) blobs.push_back({query.Bytes(0), query.Int(1)});
    return query.status();
  }));
  return blobs;
}

absl::StatusOr<bool> SqliteJobStore::RemoveBlob(const std::string& sha256, int64_t grace_us,
                                                const std::function<absl::Status()>& remove) {
  bool removed = false;
  NS_RETURN_IF_ERROR(database_->Write([&](Connection& db) -> absl::Status {
    const std::string sql = absl::StrCat("DELETE FROM blobs AS b WHERE b.sha256 = ? AND", kUnreferenced);
    NS_ASSIGN_OR_RETURN(const int64_t deleted, db.Execute(sql.c_str(), Blob{sha256}, grace_us));
    if (deleted == 0) return absl::OkStatus();
    // The write lock is held: nobody can touch the blob between this and the commit. After a crash in between the row
    // is back without its content; whoever relies on content asks the BlobStore, and the next collection drops the row.
    NS_RETURN_IF_ERROR(remove());
    removed = true;
    return absl::OkStatus();
  }));
  return removed;
}

absl::Status SqliteJobStore::ExpireRecords(int64_t upload_age_us, int64_t result_age_us) {
  return database_->Write([&](Connection& db) -> absl::Status {
    NS_RETURN_IF_ERROR(
        db.Execute("DELETE FROM uploads WHERE state <> 1 AND ended_us <= now_us() - ?", upload_age_us).status());
    return db.Execute("DELETE FROM task_results WHERE used_us <= now_us() - ?", result_age_us).status();
  });
}

}  // namespace nashswarm::server
