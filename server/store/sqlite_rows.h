// Shared by the files that implement SqliteJobStore: rows <-> API messages, and steps inside an open transaction.
#ifndef NASHSWARM_SERVER_STORE_SQLITE_ROWS_H_
#define NASHSWARM_SERVER_STORE_SQLITE_ROWS_H_

#include <functional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "google/protobuf/timestamp.pb.h"
#include "server/store/job_store.h"
#include "server/store/sqlite.h"

namespace nashswarm::server {

inline void SetTime(int64_t micros, google::protobuf::Timestamp* out) {
  out->set_seconds(micros / 1000000);
  out->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
}

std::string LabelsToJson(const Labels& labels);
void LabelsFromJson(const std::string& json, google::protobuf::Map<std::string, std::string>* out);

absl::Status NotFound(const char* what, const std::string& id);

// ABORTED / FENCED: the lease matches no running task.
absl::Status FencedError(const TaskLease& lease);

absl::StatusOr<v1::Job> LoadJob(sqlite::Connection& db, const std::string& id);

// What a job's row says about the work to come.
struct JobPlan {
  bool calibrates = false, evaluates = false;
  int64_t shards = 0, stage_weights = 0;  // 0 before PREPARE has ended
  int64_t search_rounds = 0;              // 0 before SOLVE has ended
  int64_t started_us = 0;                 // 0 unless the job runs
};
// Progress follows from the tasks.
absl::Status LoadProgress(sqlite::Connection& db, const std::string& id, const JobPlan& plan,
                          v1::Job::Progress* progress);

absl::StatusOr<v1::Model> LoadModel(sqlite::Connection& db, const std::string& id);
absl::Status LoadFiles(sqlite::Connection& db, const std::string& owner,
                       google::protobuf::RepeatedPtrField<v1::FileEntry>* out);
absl::Status InsertFile(sqlite::Connection& db, const std::string& owner, const std::string& path,
                        const std::string& sha256);

// The id of the row of `table` that `request_id` made before, "" when there is none. INVALID_ARGUMENT /
// REQUEST_ID_REUSED when that request was another one.
absl::StatusOr<std::string> FindByRequestId(sqlite::Connection& db, const std::string& table,
                                            const std::string& request_id, const std::string& request_digest);

// One page of ids from `table`, newest first, and then each of them through `load`. `filter` is "" or "AND ...".
template <typename T>
absl::StatusOr<Page<T>> LoadPage(sqlite::Connection& db, const std::string& table, const std::string& filter,
                                 const PageRequest& request,
                                 const std::function<absl::StatusOr<T>(const std::string&)>& load) {
  const std::string sql = absl::StrCat("SELECT id, created_us FROM ", table,
                                       " WHERE (created_us, id) < (?, ?) ", filter,
                                       " ORDER BY created_us DESC, id DESC LIMIT ?");
  const Cursor from = request.after.value_or(Cursor{INT64_MAX, ""});
  std::vector<Cursor> rows;
  {
    sqlite::Query query = db.Select(sql.c_str(), from.created_us, from.id, request.size + 1);
    while (query.Next()) rows.push_back({query.Int(1), query.Text(0)});
    NS_RETURN_IF_ERROR(query.status());
  }
  Page<T> page;
  if (rows.size() > static_cast<size_t>(request.size)) {
    rows.pop_back();
    page.next = rows.back();
  }
  for (const Cursor& row : rows) {
    NS_ASSIGN_OR_RETURN(T item, load(row.id));
    page.items.push_back(std::move(item));
  }
  return page;
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_SQLITE_ROWS_H_
