// The tables of SqliteJobStore and the step from each schema version to the next.
#ifndef NASHSWARM_SERVER_STORE_SQLITE_SCHEMA_H_
#define NASHSWARM_SERVER_STORE_SQLITE_SCHEMA_H_

#include "absl/status/status.h"
#include "server/store/sqlite.h"

namespace nashswarm::server {

inline constexpr int kSchemaVersion = 3;

// Creates or upgrades the tables. FAILED_PRECONDITION / SCHEMA_TOO_NEW when a newer nashswarmd wrote the file. A test
// stops at an earlier `to_version` to have something to upgrade.
absl::Status MigrateSchema(sqlite::Database& database, int to_version = kSchemaVersion);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_SQLITE_SCHEMA_H_
