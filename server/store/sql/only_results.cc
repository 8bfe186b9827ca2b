// SqlStore: what a server forgets that is the cache of one program.
#include "server/store/sql/rows.h"
#include "server/store/sql/sql_store.h"

namespace nashswarm::server {

using sql::Blob;
using sql::Connection;
using sql::Query;

absl::Status SqlStore::ForgetAllButResults(int64_t max_bytes) {
  return database_->WriteToFree([&](Connection& db) -> absl::Status {
    // What hangs on them goes with them; `files` has no foreign key to its owners.
    for (const char* table : {"jobs", "uploads", "artifacts", "models", "files"}) {
      NS_RETURN_IF_ERROR(db.Execute(absl::StrCat("DELETE FROM ", table).c_str()).status());
    }
    std::vector<std::string> beyond;
    {
      // Content that two results share counts twice: the bound is kept, and the books are simple.
      Query query = db.Select(
          "SELECT r.cache_key, coalesce((SELECT sum(b.size_bytes) FROM task_result_outputs o JOIN blobs b ON b.sha256 = o.blob "
          "WHERE o.cache_key = r.cache_key), 0) FROM task_results r ORDER BY r.used_us DESC, r.cache_key");
      int64_t bytes = 0;
      while (query.Next()) {
        bytes += query.Int(1);
        if (bytes > max_bytes) beyond.push_back(query.Bytes(0));
      }
      NS_RETURN_IF_ERROR(query.status());
    }
    for (const std::string& key : beyond) {
      NS_RETURN_IF_ERROR(db.Execute("DELETE FROM task_results WHERE cache_key = ?", Blob{key}).status());
    }
    return absl::OkStatus();
  });
}

}  // namespace nashswarm::server
