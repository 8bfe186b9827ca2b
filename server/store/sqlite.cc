#include "server/store/sqlite.h"

#include <sqlite3.h>

#include "core/base/status.h"

namespace nashswarm::server::sqlite {
namespace {

constexpr int kReaders = 4;
// Another process on the same file (a backup, the sqlite3 shell) may hold the lock for a moment.
constexpr int kBusyTimeoutMs = 10000;

absl::Status SqliteError(sqlite3* database, int code) {
  const std::string message = absl::StrCat("database: ", sqlite3_errmsg(database));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return MakeError(absl::StatusCode::kUnavailable, "DATABASE_BUSY", message, "try again");
    case SQLITE_FULL:
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message, "free disk space and try again");
    case SQLITE_CONSTRAINT:
      return MakeError(absl::StatusCode::kAborted, "DATABASE_CONSTRAINT", message, "try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(absl::StatusCode::kDataLoss, "DATABASE_CORRUPT", message, "restore the data directory");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      return MakeError(absl::StatusCode::kUnavailable, "DATABASE_IO", message, "check the data directory's disk");
    default:
      return MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", message);
  }
}

void NowFunction(sqlite3_context* context, int, sqlite3_value**) {
  const auto* now_us = static_cast<const std::function<int64_t()>*>(sqlite3_user_data(context));
  sqlite3_result_int64(context, (*now_us)());
}

}  // namespace

Query::Query(Query&& other) noexcept
    : database_(other.database_), statement_(other.statement_), status_(std::move(other.status_)) {
  other.statement_ = nullptr;
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::Check(int code) {
  if (status_.ok() && code != SQLITE_OK) status_ = SqliteError(database_, code);
}

bool Query::Next() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = SqliteError(database_, code);
  return false;
}

bool Query::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
int64_t Query::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(text), sqlite3_column_bytes(statement_, column));
}

std::string Query::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) return {};
  return std::string(static_cast<const char*>(bytes), sqlite3_column_bytes(statement_, column));
}

void Query::Bind(int index, int64_t value) {
  if (status_.ok()) Check(sqlite3_bind_int64(statement_, index, value));
}
void Query::Bind(int index, std::string_view text) {
  if (!status_.ok()) return;
  const char* data = text.data() == nullptr ? "" : text.data();  // a null pointer would bind NULL
  Check(sqlite3_bind_text64(statement_, index, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}
void Query::Bind(int index, Blob blob) {
  if (!status_.ok()) return;
  const char* data = blob.bytes.data() == nullptr ? "" : blob.bytes.data();
  Check(sqlite3_bind_blob64(statement_, index, data, blob.bytes.size(), SQLITE_TRANSIENT));
}
void Query::Bind(int index, MaybeBlob blob) {
  if (!blob.bytes.empty()) return Bind(index, Blob{blob.bytes});
  if (status_.ok()) Check(sqlite3_bind_null(statement_, index));
}
void Query::Bind(int index, MaybeText text) {
  if (!text.text.empty()) return Bind(index, text.text);
  if (status_.ok()) Check(sqlite3_bind_null(statement_, index));
}
void Query::Bind(int index, const std::optional<int64_t>& value) {
  if (value.has_value()) return Bind(index, *value);
  if (status_.ok()) Check(sqlite3_bind_null(statement_, index));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path, std::function<int64_t()> now_us) {
  std::unique_ptr<Connection> connection(new Connection());
  connection->now_us_ = std::move(now_us);
  const int code = sqlite3_open_v2(path.c_str(), &connection->database_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return Annotate(SqliteError(connection->database_, code), path);
  sqlite3_busy_timeout(connection->database_, kBusyTimeoutMs);
  sqlite3_create_function_v2(connection->database_, "now_us", 0, SQLITE_UTF8, &connection->now_us_, NowFunction,
                             nullptr, nullptr, nullptr);
  NS_RETURN_IF_ERROR(
      connection->Script("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"));
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

Query Connection::Prepare(const char* sql) {
  if (const auto it = statements_.find(std::string_view(sql)); it != statements_.end()) {
    // A statement that is still being stepped (a nested use of the same text) must not be shared.
    if (!sqlite3_stmt_busy(it->second)) return Query(database_, it->second);
    return Query(MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", absl::StrCat("statement in use: ", sql)));
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Query(Annotate(SqliteError(database_, code), sql));
  statements_.emplace(sql, statement);
  return Query(database_, statement);
}

int64_t Connection::Changes() const { return sqlite3_changes64(database_); }

absl::Status Connection::Script(const std::string& sql) {
  const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(database_, code);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, std::function<int64_t()> now_us) {
  std::unique_ptr<Database> database(new Database());
  NS_ASSIGN_OR_RETURN(database->writer_, Connection::Open(path, now_us));
  for (int i = 0; i < kReaders; ++i) {
    NS_ASSIGN_OR_RETURN(auto reader, Connection::Open(path, now_us));
    database->readers_.push_back(std::move(reader));
  }
  return database;
}

absl::Status Database::Write(const std::function<absl::Status(Connection&)>& body) {
  std::lock_guard<std::mutex> lock(writer_mutex_);
  NS_RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE").status());
  absl::Status status = body(*writer_);
  if (status.ok()) status = writer_->Execute("COMMIT").status();
  // After a failed COMMIT (disk full) the transaction is still open.
  if (!status.ok()) writer_->Script("ROLLBACK").IgnoreError();
  return status;
}

absl::Status Database::Read(const std::function<absl::Status(Connection&)>& body) {
  std::unique_ptr<Connection> reader;
  {
    std::unique_lock<std::mutex> lock(readers_mutex_);
    reader_free_.wait(lock, [&] { return !readers_.empty(); });
    reader = std::move(readers_.back());
    readers_.pop_back();
  }
  absl::Status status = reader->Execute("BEGIN").status();
  if (status.ok()) {
    status = body(*reader);
    reader->Script("ROLLBACK").IgnoreError();
  }
  {
    std::lock_guard<std::mutex> lock(readers_mutex_);
    readers_.push_back(std::move(reader));
  }
  reader_free_.notify_one();
  return status;
}

}  // namespace nashswarm::server::sqlite
