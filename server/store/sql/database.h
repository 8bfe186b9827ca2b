// What SqlStore needs of a database, without exceptions: connections, statements with `?` parameters, transactions.
// Two implementations: sqlite.h for one host, postgres.h for many. Nothing of the product is in here.
//
// The SQL is common to both: `?` parameters; now_us() is the database clock in unix microseconds; booleans come out as
// 0 and 1; what one of them alone understands is asked for by dialect().
#ifndef NASHSWARM_SERVER_STORE_SQL_DATABASE_H_
#define NASHSWARM_SERVER_STORE_SQL_DATABASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::server::sql {

enum class Dialect { kSqlite, kPostgres };

struct Blob {  // binds as bytes; does not own
  std::string_view bytes;
};
struct MaybeBlob {  // an empty value binds as NULL
  std::string_view bytes;
};
struct MaybeText {
  std::string_view text;
};

// One parameter of a statement: NULL, a number, a text or bytes. Does not own.
class Value {
 public:
  using Variant = std::variant<std::monostate, int64_t, std::string_view, Blob>;

  Value(int64_t value) : value_(value) {}
  Value(int value) : value_(int64_t{value}) {}
  Value(bool value) : value_(int64_t{value}) {}
  Value(std::string_view text) : value_(text) {}
  Value(const std::string& text) : value_(std::string_view(text)) {}
  Value(const char* text) : value_(std::string_view(text)) {}
  Value(Blob blob) : value_(blob) {}
  Value(MaybeBlob blob) {
    if (!blob.bytes.empty()) value_ = Blob{blob.bytes};
  }
  Value(MaybeText text) {
    if (!text.text.empty()) value_ = text.text;
  }
  const Variant& get() const { return value_; }

 private:
  Variant value_;
};

// The rows of one statement, as an implementation reads them.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual bool Next() = 0;  // false at the end and after an error
  virtual const absl::Status& status() const = 0;
  virtual bool IsNull(int column) const = 0;
  virtual int64_t Int(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Bytes(int column) const = 0;
};

// The rows of one statement. Errors are kept: Next() returns false and status() says why. NULL reads as 0 or "".
class Query {
 public:
  explicit Query(std::unique_ptr<Rows> rows) : rows_(std::move(rows)) {}

  bool Next() { return rows_->Next(); }
  const absl::Status& status() const { return rows_->status(); }
  bool IsNull(int column) const { return rows_->IsNull(column); }
  int64_t Int(int column) const { return rows_->Int(column); }
  std::string Text(int column) const { return rows_->Text(column); }
  std::string Bytes(int column) const { return rows_->Bytes(column); }

 private:
  std::unique_ptr<Rows> rows_;
};

// One connection, inside one transaction. Used by one thread.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual Dialect dialect() const = 0;

  template <typename... Args>
  Query Select(const char* statement, const Args&... args) {
    return SelectWith(statement, {Value(args)...});
  }
  Query SelectWith(const char* statement, const std::vector<Value>& values) { return Query(Run(statement, values)); }

  // Runs to the end; returns how many rows it changed.
  template <typename... Args>
  absl::StatusOr<int64_t> Execute(const char* statement, const Args&... args) {
    return Change(statement, {Value(args)...});
  }
  virtual absl::Status Script(const std::string& statements) = 0;  // several, no parameters

 protected:
  virtual std::unique_ptr<Rows> Run(const char* statement, const std::vector<Value>& values) = 0;
  virtual absl::StatusOr<int64_t> Change(const char* statement, const std::vector<Value>& values) = 0;
};

// Thread-safe.
class Database {
 public:
  virtual ~Database() = default;
  virtual absl::StatusOr<int64_t> NowMicros() = 0;

  // Runs `body`, which returns absl::Status or absl::StatusOr<T>, in one transaction that is committed when it returns ok
  // and undone otherwise. Transactions are as if they had come one after another. A body may be run again when another
  // transaction was in its way: what it computes it returns, and it keeps nothing outside.
  template <typename Body>
  auto Write(Body&& body) {
    return Returning(std::forward<Body>(body), [this](const AnyBody& any) { return RunWrite(any); });
  }
  // A Write that frees space, now or by what follows from it: a delete, an end. It gets through on a full disk too, where
  // something is set aside for that.
  template <typename Body>
  auto WriteToFree(Body&& body) {
    return Returning(std::forward<Body>(body), [this](const AnyBody& any) { return RunWriteToFree(any); });
  }
  // The same for reading alone: everything it reads is of one moment.
  template <typename Body>
  auto Read(Body&& body) {
    return Returning(std::forward<Body>(body), [this](const AnyBody& any) { return RunRead(any); });
  }
  // A write that no other Migrate, of any process, runs beside.
  virtual absl::Status Migrate(const std::function<absl::Status(Connection&)>& body) = 0;

 protected:
  using AnyBody = std::function<absl::Status(Connection&)>;
  virtual absl::Status RunWrite(const AnyBody& body) = 0;
  virtual absl::Status RunWriteToFree(const AnyBody& body) { return RunWrite(body); }
  virtual absl::Status RunRead(const AnyBody& body) = 0;

 private:
  template <typename Body, typename Runner>
  static auto Returning(Body&& body, const Runner& run) {
    using Result = std::invoke_result_t<Body&, Connection&>;
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return run(AnyBody(std::ref(body)));
    } else {
      Result result = absl::UnknownError("not run");
      const absl::Status status = run([&](Connection& db) -> absl::Status {
        result = body(db);
        return result.status();
      });
      return status.ok() ? std::move(result) : Result(status);
    }
  }
};

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_DATABASE_H_
