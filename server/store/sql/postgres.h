// PostgreSQL as a Database, for many replicas: a pool of libpq connections, SERIALIZABLE writes that are run again when
// the database says that another transaction was in the way, reads of one snapshot.
//
// A lost connection is UNAVAILABLE / DATABASE_IO; the next transaction connects again. A write whose COMMIT was lost on
// its way may have happened: callers repeat only what they can name twice (request ids, epochs).
#ifndef NASHSWARM_SERVER_STORE_SQL_POSTGRES_H_
#define NASHSWARM_SERVER_STORE_SQL_POSTGRES_H_

#include <memory>
#include <string>

#include "server/store/sql/database.h"

namespace nashswarm::server::sql {

struct PostgresOptions {
  int connections = 8;  // at most; opened when they are needed
};

// `url` is libpq's: postgres://user@host:port/database?sslmode=verify-full&... The password comes from PGPASSWORD,
// PGPASSFILE or the URL; no message holds it. INVALID_ARGUMENT / DATABASE_URL when it is no URL or a password in it is
// not escaped, FAILED_PRECONDITION / DATABASE_LOGIN when the server refuses us, UNAVAILABLE / DATABASE_IO when it
// cannot be reached.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& url, const PostgresOptions& options = {});

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_POSTGRES_H_
