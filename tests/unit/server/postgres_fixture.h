// A PostgreSQL database for one test: a schema of its own in the server that ctest starts (tests/support/postgres.sh), with
// a clock that the test moves.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_POSTGRES_FIXTURE_H_
#define NASHSWARM_TESTS_UNIT_SERVER_POSTGRES_FIXTURE_H_

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "server/store/sql/postgres.h"
#include "server/store/sql/postgres_connection.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {

// "" when there is no server.
inline std::string PostgresUrl() {
  const char* file = std::getenv("NASHSWARM_TEST_POSTGRES");
  const char* programs = std::getenv("NASHSWARM_BIN_DIR");
  std::string url;  // where tests/CMakeLists.txt puts it, unless somebody says otherwise
  std::ifstream(file != nullptr ? file : absl::StrCat(programs != nullptr ? programs : ".", "/../tests/postgres.url")) >> url;
  return url;
}

#define SKIP_WITHOUT_POSTGRES()                                                                             \
  if (PostgresUrl().empty()) {                                                                              \
    GTEST_SKIP() << "no PostgreSQL: run through ctest, or set NASHSWARM_TEST_POSTGRES to a file that holds " \
                    "the output of tests/support/postgres.sh start DIR";                                    \
  }

class PostgresSchema {
 public:
  PostgresSchema() : admin_(Must(sql::PostgresConnection::Open(PostgresUrl()))) {
    static std::atomic<int> next{0};
    name_ = absl::StrCat("t", getpid(), "_", next++);
    Run(absl::StrCat("DROP SCHEMA IF EXISTS ", name_, " CASCADE; CREATE SCHEMA ", name_));
  }
  ~PostgresSchema() { Run(absl::StrCat("DROP SCHEMA ", name_, " CASCADE")); }

  std::string url() const { return absl::StrCat(PostgresUrl(), "&options=-csearch_path%3D", name_); }
  // now_us() becomes what the test says.
  void FakeClock(int64_t now_us) {
    Run(absl::StrCat("CREATE TABLE IF NOT EXISTS ", name_, ".clock (us BIGINT); DELETE FROM ", name_,
                     ".clock; INSERT INTO ", name_, ".clock VALUES (", now_us, "); CREATE OR REPLACE FUNCTION ", name_,
                     ".now_us() RETURNS BIGINT LANGUAGE sql STABLE AS $$ SELECT us FROM ", name_, ".clock $$"));
  }
  void Run(const std::string& statements) {
    const absl::Status status = admin_->Script(statements);
    EXPECT_TRUE(status.ok()) << status;
  }

 private:
  std::unique_ptr<sql::PostgresConnection> admin_;
  std::string name_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_POSTGRES_FIXTURE_H_
