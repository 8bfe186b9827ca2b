#include "server/store/sql/sqlite.h"

#include <sqlite3.h>
#include <time.h>

#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>

#include "core/base/status.h"
#include "server/store/sql/ballast.h"

namespace nashswarm::server::sql {
namespace {

constexpr int kReaders = 4;
// Another process on the same file (a backup, the sqlite3 shell) may hold the lock for a moment.
constexpr int kBusyTimeoutMs = 10000;

absl::Status NoSpace(const std::string& message) {
  return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message, "free disk space and try again");
}

// SQLite says SQLITE_FULL of a file it writes; of one that it opens, syncs or maps it leaves the reason to the system's error.
bool IsDiskFull(sqlite3* database) {
  const int error = sqlite3_system_errno(database);
  return error == ENOSPC || error == EDQUOT;
}

absl::Status SqliteError(sqlite3* database, int code) {
  const std::string message = absl::StrCat("database: ", sqlite3_errmsg(database));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return MakeError(absl::StatusCode::kUnavailable, "DATABASE_BUSY", message, "try again");
    case SQLITE_FULL:
      return NoSpace(message);
    case SQLITE_CONSTRAINT:
      return MakeError(absl::StatusCode::kAborted, "DATABASE_CONSTRAINT", message, "try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(absl::StatusCode::kDataLoss, "DATABASE_CORRUPT", message, "restore the data directory");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      if (IsDiskFull(database)) return NoSpace(message);
      return MakeError(absl::StatusCode::kUnavailable, "DATABASE_IO", message, "check the data directory's disk");
    default:
      return MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", message);
  }
}

void NowFunction(sqlite3_context* context, int, sqlite3_value**) {
  const auto* now_us = static_cast<const std::function<int64_t()>*>(sqlite3_user_data(context));
  sqlite3_result_int64(context, (*now_us)());
}

class SqliteRows : public Rows {
 public:
  explicit SqliteRows(absl::Status error) : status_(std::move(error)) {}
  SqliteRows(sqlite3* database, sqlite3_stmt* statement, const std::vector<Value>& values)
      : database_(database), statement_(statement) {
    for (size_t i = 0; i < values.size() && status_.ok(); ++i) {
      const int code = Bind(static_cast<int>(i) + 1, values[i].get());
      if (code != SQLITE_OK) status_ = SqliteError(database_, code);
    }
  }
  ~SqliteRows() override {  // resets the statement for its next use
    if (statement_ == nullptr) return;
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  bool Next() override {
    if (!status_.ok()) return false;
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) status_ = SqliteError(database_, code);
    return false;
  }
  const absl::Status& status() const override { return status_; }
  bool IsNull(int column) const override { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t Int(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const override {
    const unsigned char* text = sqlite3_column_text(statement_, column);
    if (text == nullptr) return {};
    return std::string(reinterpret_cast<const char*>(text), sqlite3_column_bytes(statement_, column));
  }
  std::string Bytes(int column) const override {
    const void* bytes = sqlite3_column_blob(statement_, column);
    if (bytes == nullptr) return {};
    return std::string(static_cast<const char*>(bytes), sqlite3_column_bytes(statement_, column));
  }

 private:
  // A null pointer would bind NULL: an empty view may have one.
  static const char* DataOf(std::string_view view) { return view.data() == nullptr ? "" : view.data(); }
  int Bind(int index, const Value::Variant& value) {
    if (const auto* number = std::get_if<int64_t>(&value)) return sqlite3_bind_int64(statement_, index, *number);
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      return sqlite3_bind_text64(statement_, index, DataOf(*text), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    if (const auto* blob = std::get_if<Blob>(&value)) {
      return sqlite3_bind_blob64(statement_, index, DataOf(blob->bytes), blob->bytes.size(), SQLITE_TRANSIENT);
    }
    return sqlite3_bind_null(statement_, index);
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
};

class SqliteConnection : public Connection {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path,
                                                                std::function<int64_t()> now_us);
  ~SqliteConnection() override {
    for (auto& [text, statement] : statements_) sqlite3_finalize(statement);
    sqlite3_close(database_);
  }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  Dialect dialect() const override { return Dialect::kSqlite; }
  absl::Status Script(const std::string& statements) override {
    const int code = sqlite3_exec(database_, statements.c_str(), nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? absl::OkStatus() : SqliteError(database_, code);
  }

 protected:
  std::unique_ptr<Rows> Run(const char* statement, const std::vector<Value>& values) override;
  absl::StatusOr<int64_t> Change(const char* statement, const std::vector<Value>& values) override {
    {
      const std::unique_ptr<Rows> rows = Run(statement, values);
      while (rows->Next()) {
      }
      NS_RETURN_IF_ERROR(rows->status());
    }
    return sqlite3_changes64(database_);
  }

 private:
  SqliteConnection() = default;

  sqlite3* database_ = nullptr;
  std::function<int64_t()> now_us_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const std::string& path,
                                                                         std::function<int64_t()> now_us) {
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection());
  connection->now_us_ = std::move(now_us);
  const int code = sqlite3_open_v2(path.c_str(), &connection->database_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return Annotate(SqliteError(connection->database_, code), path);
  sqlite3_busy_timeout(connection->database_, kBusyTimeoutMs);
  sqlite3_create_function_v2(connection->database_, "now_us", 0, SQLITE_UTF8, &connection->now_us_, NowFunction,
                             nullptr, nullptr, nullptr);
  // temp_store: what a long transaction sets aside must not depend on the room of another disk.
  NS_RETURN_IF_ERROR(connection->Script(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"));
  return connection;
}

std::unique_ptr<Rows> SqliteConnection::Run(const char* text, const std::vector<Value>& values) {
  auto it = statements_.find(std::string_view(text));
  if (it == statements_.end()) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(database_, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return std::make_unique<SqliteRows>(Annotate(SqliteError(database_, code), text));
    it = statements_.emplace(text, statement).first;
  }
  // A statement that is still being stepped (a nested use of the same text) must not be shared.
  if (sqlite3_stmt_busy(it->second)) {
    return std::make_unique<SqliteRows>(
        MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", absl::StrCat("statement in use: ", text)));
  }
  return std::make_unique<SqliteRows>(database_, it->second, values);
}

// A single writer connection, since SQLite has one writer anyway and waiting in our mutex is fairer than its busy
// handler, and a few readers.
class SqliteDatabase : public Database {
 public:
  SqliteDatabase(const std::string& path, std::function<int64_t()> now_us, int64_t ballast_bytes)
      : now_us_(std::move(now_us)), ballast_(absl::StrCat(path, "-ballast"), ballast_bytes) {}

  absl::Status Connect(const std::string& path) {
    NS_ASSIGN_OR_RETURN(writer_, SqliteConnection::Open(path, now_us_));
    for (int i = 0; i < kReaders; ++i) {
      NS_ASSIGN_OR_RETURN(auto reader, SqliteConnection::Open(path, now_us_));
      readers_.push_back(std::move(reader));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<int64_t> NowMicros() override { return now_us_(); }
  absl::Status Migrate(const std::function<absl::Status(Connection&)>& body) override { return RunWrite(body); }

 protected:
  absl::Status RunWrite(const AnyBody& body) override {
    std::lock_guard<std::mutex> lock(writer_mutex_);
    NS_RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE").status());
    absl::Status status = body(*writer_);
    if (status.ok()) status = writer_->Execute("COMMIT").status();
    // After a failed COMMIT (disk full) the transaction is still open.
    if (!status.ok()) writer_->Script("ROLLBACK").IgnoreError();
    if (status.ok()) ballast_.Restore();
    return status;
  }

  absl::Status RunWriteToFree(const AnyBody& body) override {
    absl::Status status = RunWrite(body);
    while (ReasonOf(status) == "NO_SPACE" && ReleaseBallast()) status = RunWrite(body);
    return status;
  }

  absl::Status RunRead(const AnyBody& body) override {
    std::unique_ptr<SqliteConnection> reader;
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

 private:
  bool ReleaseBallast() {
    std::lock_guard<std::mutex> lock(writer_mutex_);
    return ballast_.Release();
  }

  std::function<int64_t()> now_us_;
  std::mutex writer_mutex_;
  Ballast ballast_;  // before the connections: opening them may need what it releases
  std::unique_ptr<SqliteConnection> writer_;
  std::mutex readers_mutex_;
  std::condition_variable reader_free_;
  std::vector<std::unique_ptr<SqliteConnection>> readers_;
};

}  // namespace

int64_t SystemNowMicros() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000 + now.tv_nsec / 1000;
}

absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::string& path, std::function<int64_t()> now_us,
                                                     int64_t ballast_bytes) {
  auto database = std::make_unique<SqliteDatabase>(path, std::move(now_us), ballast_bytes);
  NS_RETURN_IF_ERROR(database->Connect(path));
  return database;
}

}  // namespace nashswarm::server::sql
