// One libpq connection: prepared statements, SQLSTATE to absl::Status. Used by one thread at a time.
#ifndef NASHSWARM_SERVER_STORE_SQL_POSTGRES_CONNECTION_H_
#define NASHSWARM_SERVER_STORE_SQL_POSTGRES_CONNECTION_H_

#include <libpq-fe.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/store/sql/database.h"

namespace nashswarm::server::sql {

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultDeleter>;

class PostgresConnection : public Connection {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const std::string& url);
  ~PostgresConnection() override { PQfinish(connection_); }
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  Dialect dialect() const override { return Dialect::kPostgres; }
  absl::Status Script(const std::string& statements) override;
  // "COMMIT" of a transaction in which a statement failed quietly rolls it back: that is an error here.
  absl::Status Commit();

  // What the statements since BeginNotes() have met.
  void BeginNotes() { state_.clear(); }
  bool lost() const { return PQstatus(connection_) != CONNECTION_OK; }
  // Another transaction was in the way: the same again may succeed.
  bool conflicted() const;
  // A key that another transaction wrote meanwhile looks like this too.
  bool broke_constraint() const { return state_.starts_with("23"); }

  PGconn* raw() { return connection_; }

 protected:
  std::unique_ptr<Rows> Run(const char* statement, const std::vector<Value>& values) override;
  absl::StatusOr<int64_t> Change(const char* statement, const std::vector<Value>& values) override;

 private:
  explicit PostgresConnection(PGconn* connection) : connection_(connection) {}
  absl::StatusOr<Result> Send(const char* statement, const std::vector<Value>& values);
  absl::StatusOr<std::string> Prepare(const char* statement);
  absl::Status ErrorOf(const PGresult* result);

  PGconn* connection_;
  std::string state_;  // SQLSTATE of the first failed statement
  std::map<std::string, std::string, std::less<>> prepared_;  // our text -> its name at the server
};

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_POSTGRES_CONNECTION_H_
