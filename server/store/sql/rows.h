// Shared by the files that implement SqlStore: rows <-> API messages, and steps inside an open transaction.
#ifndef NASHSWARM_SERVER_STORE_SQL_ROWS_H_
#define NASHSWARM_SERVER_STORE_SQL_ROWS_H_

#include <functional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "google/protobuf/timestamp.pb.h"
#include "server/stages/progress.h"
#include "server/store/labels.h"
#include "server/store/page.h"
#include "server/store/sql/database.h"
#include "server/store/task.h"

namespace nashswarm::server {

inline void SetTime(int64_t micros, google::protobuf::Timestamp* out) {
  out->set_seconds(micros / 1000000);
  out->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
}

// The database's clock.
absl::StatusOr<int64_t> Now(sql::Connection& db);

std::string LabelsToJson(const Labels& labels);
void LabelsFromJson(const std::string& json, google::protobuf::Map<std::string, std::string>* out);

absl::Status NotFound(const char* what, const std::string& id);

// ABORTED / FENCED: the lease matches no running task.
absl::Status FencedError(const TaskLease& lease);

// DATA_LOSS / DATABASE_CORRUPT: the row's spec is none. Half a spec would be another job than was asked for.
absl::Status ParseSpec(const std::string& bytes, const std::string& job_id, v1::CompressionSpec* spec);

absl::StatusOr<v1::Job> LoadJob(sql::Connection& db, const std::string& tenant, const std::string& id);

absl::Status InsertTask(sql::Connection& db, const std::string& job_id, const NewTask& task);
absl::Status CancelPendingTasks(sql::Connection& db, const std::string& job_id);

// Sets `progress`, which follows from the tasks, of a job whose spec is there.
absl::Status LoadProgress(sql::Connection& db, const std::string& id, const JobPlan& plan, v1::Job* job);

absl::StatusOr<v1::Model> LoadModel(sql::Connection& db, const std::string& tenant, const std::string& id);
absl::Status LoadFiles(sql::Connection& db, const std::string& tenant, const std::string& owner,
                       google::protobuf::RepeatedPtrField<v1::FileEntry>* out);
absl::Status InsertFile(sql::Connection& db, const std::string& tenant, const std::string& owner,
                        const std::string& path, const std::string& sha256);

// RESOURCE_EXHAUSTED / QUOTA_EXCEEDED when the tenant's models, artifacts and active uploads, with `more` bytes, are
// beyond `limit`; 0: no limit.
absl::Status CheckStoredBytes(sql::Connection& db, const std::string& tenant, int64_t more, int64_t limit);

// The id of the row of `table` that `request_id` made before, "" when there is none. INVALID_ARGUMENT /
// REQUEST_ID_REUSED when that request was another one.
absl::StatusOr<std::string> FindByRequestId(sql::Connection& db, const std::string& table, const std::string& tenant,
                                            const std::string& request_id, const std::string& request_digest);

// What a page of a list may take: gRPC's clients refuse messages above 4 MiB. A single item is smaller (services/validate.h).
inline constexpr size_t kMaxPageBytes = 3 << 20;
inline constexpr size_t kMessageOverhead = 8;  // of an item in its list

// One page of the tenant's ids from `table`, newest first, and then each of them through `load`: as many as were asked for and as
// kMaxPageBytes hold, but at least one. `filter` is "" or "AND ...".
template <typename T>
absl::StatusOr<Page<T>> LoadPage(sql::Connection& db, const std::string& table, const std::string& tenant,
                                 const std::string& filter, const PageRequest& request,
                                 absl::StatusOr<T> (*load)(sql::Connection&, const std::string&, const std::string&)) {
  const std::string text = absl::StrCat("SELECT id, created_us FROM ", table,
                                        " WHERE tenant = ? AND (created_us, id) < (?, ?) ", filter,
                                        " ORDER BY created_us DESC, id DESC LIMIT ?");
  const Cursor from = request.after.value_or(Cursor{INT64_MAX, ""});
  std::vector<Cursor> rows;
  {
    sql::Query query = db.Select(text.c_str(), tenant, from.created_us, from.id, request.size + 1);
    while (query.Next()) rows.push_back({query.Int(1), query.Text(0)});
    NS_RETURN_IF_ERROR(query.status());
  }
  Page<T> page;
  if (rows.size() > static_cast<size_t>(request.size)) {
    rows.pop_back();
    page.next = rows.back();
  }
  size_t bytes = 0;
  for (const Cursor& row : rows) {
    NS_ASSIGN_OR_RETURN(T item, load(db, tenant, row.id));
    bytes += item.ByteSizeLong() + kMessageOverhead;
    if (bytes > kMaxPageBytes && !page.items.empty()) {
      page.next = rows[page.items.size() - 1];
      break;
    }
    page.items.push_back(std::move(item));
  }
  return page;
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_SQL_ROWS_H_
