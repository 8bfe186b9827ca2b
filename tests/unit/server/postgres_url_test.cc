// What a PostgreSQL address may look like, and that nothing said about it holds its password. Needs no server.
#include <string>

#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sql/postgres.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PostgresUrlTest, ABadAddressIsNotRepeated) {
  for (const char* url :
       {"postgres://me:hunter2@[host", "postgres://me:hunter/2@host/db", "postgres://me:hun@ter2@host/db",
        "postgres://me:hunter%zz2@host/db", "postgres://me@host/db?pasword=hunter2"}) {
    const absl::Status status = sql::OpenPostgres(url).status();
    EXPECT_EQ(ReasonOf(status), "DATABASE_URL") << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hun"))) << url;
  }
}

TEST(PostgresUrlTest, AGoodAddressWithoutAServerIsUnavailable) {
  const absl::Status status = sql::OpenPostgres("postgres://me:hunter%2F2@127.0.0.1:1/db").status();
  EXPECT_EQ(ReasonOf(status), "DATABASE_IO") << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter")));
}

}  // namespace
}  // namespace nashswarm::server
