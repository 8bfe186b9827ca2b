#include "server/store/sql/postgres.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "core/base/status.h"
#include "server/store/sql/postgres_connection.h"

namespace nashswarm::server::sql {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPoolWait{10000};
// How long a write keeps trying to get past other transactions, and its first and longest pause between attempts.
constexpr milliseconds kConflictPatience{10000}, kFirstPause{1}, kLongestPause{100};
// A broken constraint is another transaction's doing at most this often.
constexpr int kConstraintAttempts = 3;
// "nashswar": one migration at a time, whoever else uses the server's advisory locks.
constexpr int64_t kMigrationLock = 0x6e61736873776172;

class PostgresDatabase : public Database {
 public:
  PostgresDatabase(std::string url, int connections) : url_(std::move(url)), places_(connections) {}

  absl::Status Connect() {  // fails early and clearly, rather than at the first request
    NS_ASSIGN_OR_RETURN(auto connection, PostgresConnection::Open(url_));
    idle_.push_back(std::move(connection));
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> NowMicros() override {
    return Read([](Connection& db) -> absl::StatusOr<int64_t> {
      Query query = db.Select("SELECT now_us()");
      if (!query.Next()) return query.status();
      return query.Int(0);
    });
  }

  absl::Status Migrate(const std::function<absl::Status(Connection&)>& body) override {
    // READ COMMITTED: a snapshot from before the wait for the lock would show the schema of then.
    return Transact("BEGIN ISOLATION LEVEL READ COMMITTED", [&](Connection& db) -> absl::Status {
      NS_RETURN_IF_ERROR(db.Script(absl::StrCat("SELECT pg_advisory_xact_lock(", kMigrationLock, ")")));
      return body(db);
    });
  }

 protected:
  absl::Status RunWrite(const AnyBody& body) override { return Transact("BEGIN ISOLATION LEVEL SERIALIZABLE", body); }
  absl::Status RunRead(const AnyBody& body) override {
    return Transact("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", body);
  }

 private:
  absl::Status Transact(const char* begin, const AnyBody& body);
  absl::StatusOr<std::unique_ptr<PostgresConnection>> Take();
  void Return(std::unique_ptr<PostgresConnection> connection);

  const std::string url_;
  std::mutex mutex_;
  std::condition_variable free_;
  int places_;  // connections that may still be taken
  std::vector<std::unique_ptr<PostgresConnection>> idle_;
};

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresDatabase::Take() {
  std::unique_ptr<PostgresConnection> connection;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!free_.wait_for(lock, kPoolWait, [&] { return places_ > 0; })) {
      return MakeError(absl::StatusCode::kUnavailable, "DATABASE_BUSY", "every database connection is in use",
                       "try again, or raise --database-connections");
    }
    --places_;
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (connection != nullptr) return connection;
  absl::StatusOr<std::unique_ptr<PostgresConnection>> opened = PostgresConnection::Open(url_);
  if (!opened.ok()) Return(nullptr);
  return opened;
}

void PostgresDatabase::Return(std::unique_ptr<PostgresConnection> connection) {
  std::vector<std::unique_ptr<PostgresConnection>> dead;  // closed outside the lock
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++places_;
    if (connection != nullptr && connection->lost()) {
      // Whatever ended this one (a restart of the server, most likely) has ended those that wait too.
      dead.swap(idle_);
      dead.push_back(std::move(connection));
    } else if (connection != nullptr) {
      idle_.push_back(std::move(connection));
    }
  }
  free_.notify_one();
}

absl::Status PostgresDatabase::Transact(const char* begin, const AnyBody& body) {
  const auto give_up = steady_clock::now() + kConflictPatience;
  thread_local std::minstd_rand random(std::random_device{}());
  milliseconds pause = kFirstPause;
  bool reconnected = false;
  for (int attempt = 1;; ++attempt) {
    NS_ASSIGN_OR_RETURN(std::unique_ptr<PostgresConnection> connection, Take());
    connection->BeginNotes();
    bool committing = false;
    absl::Status status = connection->Script(begin);
    if (status.ok()) status = body(*connection);
    if (status.ok()) {
      committing = true;
      status = connection->Commit();
    } else if (!connection->lost()) {
      connection->Script("ROLLBACK").IgnoreError();
    }
    const bool lost = connection->lost();
    const bool again = connection->conflicted() || (connection->broke_constraint() && attempt < kConstraintAttempts);
    Return(std::move(connection));
    if (status.ok()) return status;
    if (lost) {
      // Before COMMIT was sent nothing has happened; after it nobody knows.
      if (committing || reconnected) return status;
      reconnected = true;
      continue;
    }
    if (!again || steady_clock::now() >= give_up) return status;
    std::uniform_int_distribution<int64_t> jitter(0, pause.count());
    std::this_thread::sleep_for(milliseconds(jitter(random)));
    pause = std::min(pause * 2, kLongestPause);
  }
}

// libpq's messages quote what they do not understand: of a URL with a password in which '/' or '@' is not escaped, that
// is a part of the password. So such a URL never gets as far.
absl::Status CheckUrl(const std::string& url) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(url.c_str(), nullptr),
                                                                             PQconninfoFree);
  bool good = options != nullptr;
  for (const PQconninfoOption* option = options.get(); good && option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const std::string_view name = option->keyword, value = option->val;
    if (name == "port") good = value.find_first_not_of("0123456789,") == value.npos;
    if (name == "host" || name == "dbname") good = value.find('@') == value.npos;
  }
  if (good) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "DATABASE_URL",
                   "the database's address is not one that libpq reads",
                   "write postgres://USER@HOST:PORT/DATABASE, in a password / : @ ? # and % as %2F %3A %40 %3F %23 "
                   "%25, or better, set PGPASSWORD or PGPASSFILE");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& url, const PostgresOptions& options) {
  NS_RETURN_IF_ERROR(CheckUrl(url));
  auto database = std::make_unique<PostgresDatabase>(url, options.connections);
  NS_RETURN_IF_ERROR(database->Connect());
  return database;
}

}  // namespace nashswarm::server::sql
