// SQLite as a Database: one file, one host. WAL, synchronous=FULL; writers take turns, readers do not wait.
#ifndef NASHSWARM_SERVER_STORE_SQL_SQLITE_H_
#define NASHSWARM_SERVER_STORE_SQL_SQLITE_H_

#include <functional>
#include <memory>
#include <string>

#include "server/store/sql/database.h"

namespace nashswarm::server::sql {

int64_t SystemNowMicros();

// `now_us` backs now_us(): several processes on the host share its clock. Tests put a fake there. `ballast_bytes` are kept in a file
// beside the database for writes that free space on a full disk (ballast.h).
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::string& path,
                                                     std::function<int64_t()> now_us = SystemNowMicros,
                                                     int64_t ballast_bytes = 0);

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_SQLITE_H_
