#include "server/store/sql/postgres_connection.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "core/base/status.h"

namespace nashswarm::server::sql {
namespace {

// Found within half a minute: a server that has vanished, a transaction whose process stands still with rows locked.
// Index scans always, also of small tables: what a SERIALIZABLE transaction scanned whole conflicts with every write to it.
constexpr char kSession[] =
    "SET statement_timeout = 30000; SET lock_timeout = 10000; SET idle_in_transaction_session_timeout = 10000; "
    "SET synchronous_commit = on; SET enable_seqscan = off; SET client_min_messages = warning";

class PostgresRows : public Rows {
 public:
  explicit PostgresRows(absl::StatusOr<Result> result) {
    if (result.ok()) {
      result_ = *std::move(result);
    } else {
      status_ = result.status();
    }
  }
  bool Next() override { return result_ != nullptr && ++row_ < PQntuples(result_.get()); }
  const absl::Status& status() const override { return status_; }
  bool IsNull(int column) const override { return PQgetisnull(result_.get(), row_, column) != 0; }
  int64_t Int(int column) const override {
    const char* text = PQgetvalue(result_.get(), row_, column);
    return *text == 't' ? 1 : std::strtoll(text, nullptr, 10);  // "f" reads as 0
  }
  std::string Text(int column) const override {
    return std::string(PQgetvalue(result_.get(), row_, column), PQgetlength(result_.get(), row_, column));
  }
  std::string Bytes(int column) const override {  // "\x0123"
    const int length = PQgetlength(result_.get(), row_, column);
    if (length < 2) return {};
    return absl::HexStringToBytes(absl::string_view(PQgetvalue(result_.get(), row_, column) + 2, length - 2));
  }

 private:
  Result result_;
  int row_ = -1;
  absl::Status status_;
};

// "a = ? AND b = ?" -> "a = $1 AND b = $2". Our statements hold no question mark anywhere else.
std::string Numbered(std::string_view text) {
  std::string numbered;
  int next = 1;
  for (const char c : text) {
    if (c == '?') {
      absl::StrAppend(&numbered, "$", next++);
    } else {
      numbered.push_back(c);
    }
  }
  return numbered;
}

std::string Trimmed(const char* text) { return std::string(absl::StripAsciiWhitespace(text)); }

absl::Status StatusOf(std::string_view state, const std::string& message) {
  const auto in = [&](std::string_view prefix) { return state.starts_with(prefix); };
  if (in("40") || in("55P03") || in("57014") || in("53300")) {
    return MakeError(absl::StatusCode::kUnavailable, "DATABASE_BUSY", message, "try again");
  }
  if (in("53100")) return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message, "free the database's disk");
  if (in("23")) return MakeError(absl::StatusCode::kAborted, "DATABASE_CONSTRAINT", message, "try again");
  if (in("28") || in("3D") || in("42501")) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATABASE_LOGIN", message,
                     "check the user, its password (PGPASSWORD or PGPASSFILE), its rights, and the database's name");
  }
  if (in("XX001") || in("XX002")) return MakeError(absl::StatusCode::kDataLoss, "DATABASE_CORRUPT", message, "restore it");
  if (state.empty() || in("08") || in("57P") || in("25P03") || in("58")) {
    return MakeError(absl::StatusCode::kUnavailable, "DATABASE_IO", message, "check that PostgreSQL runs, and the network");
  }
  return MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", absl::StrCat(message, " (", std::string(state), ")"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(const std::string& url) {
  // What stands before dbname is a default that the URL may override.
  const char* keys[] = {"fallback_application_name", "connect_timeout", "keepalives_idle", "keepalives_interval",
                        "keepalives_count",          "tcp_user_timeout", "dbname",         nullptr};
  const char* values[] = {"nashswarmd", "5", "10", "5", "3", "20000", url.c_str(), nullptr};
  std::unique_ptr<PostgresConnection> connection(
      new PostgresConnection(PQconnectdbParams(keys, values, /*expand_dbname=*/1)));
  if (connection->lost()) {
    const std::string message = absl::StrCat("database: ", Trimmed(PQerrorMessage(connection->connection_)));
    // A refused login has no SQLSTATE here; the server's words are all there is.
    const bool refused = message.find("authentication failed") != std::string::npos ||
                         message.find("does not exist") != std::string::npos ||
                         message.find("no password supplied") != std::string::npos ||
                         message.find("no pg_hba.conf entry") != std::string::npos;
    return StatusOf(refused ? "28000" : "", message);
  }
  PQsetNoticeProcessor(connection->connection_, [](void*, const char*) {}, nullptr);
  NS_RETURN_IF_ERROR(connection->Script(kSession));
  return connection;
}

bool PostgresConnection::conflicted() const { return state_ == "40001" || state_ == "40P01" || state_ == "55P03"; }

absl::Status PostgresConnection::ErrorOf(const PGresult* result) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string code = state == nullptr ? "" : state;
  if (state_.empty()) state_ = code;
  return StatusOf(code, absl::StrCat("database: ", Trimmed(result == nullptr ? PQerrorMessage(connection_)
                                                                             : PQresultErrorMessage(result))));
}

absl::Status PostgresConnection::Script(const std::string& statements) {
  const Result result(PQexec(connection_, statements.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return absl::OkStatus();
  return ErrorOf(result.get());
}

absl::Status PostgresConnection::Commit() {
  const Result result(PQexec(connection_, "COMMIT"));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) return ErrorOf(result.get());
  if (std::string_view(PQcmdStatus(result.get())) == "COMMIT") return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", "database: the transaction had failed before its COMMIT");
}

absl::StatusOr<std::string> PostgresConnection::Prepare(const char* statement) {
  if (const auto it = prepared_.find(std::string_view(statement)); it != prepared_.end()) return it->second;
  std::string name = absl::StrCat("s", prepared_.size());
  const Result result(PQprepare(connection_, name.c_str(), Numbered(statement).c_str(), 0, nullptr));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) return Annotate(ErrorOf(result.get()), statement);
  prepared_.emplace(statement, name);
  return name;
}

absl::StatusOr<Result> PostgresConnection::Send(const char* statement, const std::vector<Value>& values) {
  NS_ASSIGN_OR_RETURN(const std::string name, Prepare(statement));
  std::vector<std::string> texts(values.size());  // numbers and texts, with the zero that libpq wants
  std::vector<const char*> pointers(values.size(), nullptr);
  std::vector<int> lengths(values.size(), 0), formats(values.size(), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const Value::Variant& value = values[i].get();
    if (const auto* number = std::get_if<int64_t>(&value)) {
      texts[i] = absl::StrCat(*number);
    } else if (const auto* text = std::get_if<std::string_view>(&value)) {
      texts[i] = std::string(*text);
    } else if (const auto* blob = std::get_if<Blob>(&value)) {
      texts[i] = std::string(blob->bytes);
      lengths[i] = static_cast<int>(blob->bytes.size());
      formats[i] = 1;
    } else {
      continue;
    }
    pointers[i] = texts[i].c_str();
  }
  Result result(PQexecPrepared(connection_, name.c_str(), static_cast<int>(values.size()), pointers.data(),
                               lengths.data(), formats.data(), /*resultFormat=*/0));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) return Annotate(ErrorOf(result.get()), statement);
  return result;
}

std::unique_ptr<Rows> PostgresConnection::Run(const char* statement, const std::vector<Value>& values) {
  return std::make_unique<PostgresRows>(Send(statement, values));
}

absl::StatusOr<int64_t> PostgresConnection::Change(const char* statement, const std::vector<Value>& values) {
  NS_ASSIGN_OR_RETURN(const Result result, Send(statement, values));
  return std::strtoll(PQcmdTuples(result.get()), nullptr, 10);
}

}  // namespace nashswarm::server::sql
