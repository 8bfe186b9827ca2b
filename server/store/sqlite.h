// A thin, exception-free layer over SQLite: connections, cached statements, transactions. Nothing of the product.
#ifndef NASHSWARM_SERVER_STORE_SQLITE_H_
#define NASHSWARM_SERVER_STORE_SQLITE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace nashswarm::server::sqlite {

struct Blob {  // binds as BLOB; does not own
  std::string_view bytes;
};
struct MaybeBlob {  // an empty value binds as NULL
  std::string_view bytes;
};
struct MaybeText {
  std::string_view text;
};

// The rows of one statement. Errors are kept: Next() returns false and status() says why.
class Query {
 public:
  Query(absl::Status error) : status_(std::move(error)) {}
  Query(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();  // resets the statement for its next use

  template <typename... Args>
  void BindAll(const Args&... args) {
    int index = 1;
    (Bind(index++, args), ...);
  }
  bool Next();
  const absl::Status& status() const { return status_; }

  bool IsNull(int column) const;
  int64_t Int(int column) const;
  std::string Text(int column) const;
  std::string Bytes(int column) const;

 private:
  void Bind(int index, int64_t value);
  void Bind(int index, int value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, bool value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, std::string_view text);
  void Bind(int index, const std::string& text) { Bind(index, std::string_view(text)); }
  void Bind(int index, const char* text) { Bind(index, std::string_view(text)); }
  void Bind(int index, Blob blob);
  void Bind(int index, MaybeBlob blob);
  void Bind(int index, MaybeText text);
  void Bind(int index, const std::optional<int64_t>& value);
  void Check(int code);

  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
};

// One connection. Used by one thread at a time.
class Connection {
 public:
  // `now_us` backs the SQL function now_us(): the only clock of the database.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, std::function<int64_t()> now_us);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  template <typename... Args>
  Query Select(const char* sql, const Args&... args) {
    Query query = Prepare(sql);
    query.BindAll(args...);
    return query;
  }
  // Runs to the end; returns how many rows it changed.
  template <typename... Args>
  absl::StatusOr<int64_t> Execute(const char* sql, const Args&... args) {
    {
      Query query = Prepare(sql);
      query.BindAll(args...);
      while (query.Next()) {
      }
      if (!query.status().ok()) return query.status();
    }
    return Changes();
  }
  absl::Status Script(const std::string& sql);  // several statements, no parameters

 private:
  Connection() = default;
  Query Prepare(const char* sql);
  int64_t Changes() const;

  sqlite3* database_ = nullptr;
  std::function<int64_t()> now_us_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// One database file: a single writer connection, since SQLite has one writer anyway and waiting in our mutex is
// fairer than its busy handler, and a few readers. Thread-safe.
class Database {
 public:
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, std::function<int64_t()> now_us);

  // Runs `body` inside BEGIN IMMEDIATE ... COMMIT; rolls back when it fails.
  absl::Status Write(const std::function<absl::Status(Connection&)>& body);
  // Runs `body` inside one read transaction: everything it reads is of one moment.
  absl::Status Read(const std::function<absl::Status(Connection&)>& body);

 private:
  Database() = default;

  std::mutex writer_mutex_;
  std::unique_ptr<Connection> writer_;
  std::mutex readers_mutex_;
  std::condition_variable reader_free_;
  std::vector<std::unique_ptr<Connection>> readers_;
};

}  // namespace nashswarm::server::sqlite

#endif  // NASHSWARM_SERVER_STORE_SQLITE_H_
