// The tables of SqlStore and the step from each schema version to the next.
#ifndef NASHSWARM_SERVER_STORE_SQL_SCHEMA_H_
#define NASHSWARM_SERVER_STORE_SQL_SCHEMA_H_

#include "absl/status/status.h"
#include "server/store/sql/database.h"

namespace nashswarm::server::sql {

inline constexpr int kSchemaVersion = 5;

// Creates or upgrades the tables. FAILED_PRECONDITION / SCHEMA_TOO_NEW when a newer nashswarmd wrote the database. A
// test stops at an earlier `to_version` to have something to upgrade.
absl::Status MigrateSchema(Database& database, int to_version = kSchemaVersion);

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_SCHEMA_H_
