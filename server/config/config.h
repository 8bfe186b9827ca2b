// What nashswarmd can be told: flags > NASHSWARM_* environment > --config file > defaults.
#ifndef NASHSWARM_SERVER_CONFIG_CONFIG_H_
#define NASHSWARM_SERVER_CONFIG_CONFIG_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/auth/access.h"
#include "server/auth/tls_files.h"
#include "server/log/log.h"
#include "server/scheduler/maintenance.h"
#include "server/services/context.h"

namespace nashswarm::server {

enum class Role { kAll, kApi, kWorker };

struct ServerConfig {
  std::string data;
  std::string jobs, blobs;  // stores; empty: in the data directory
  Role role = Role::kAll;
  int database_connections = 8;
  int64_t memory_bytes = 0;        // for engines; 0: chosen from the machine
  int64_t disk_reserve_bytes = -1;  // -1: chosen by the size of the disk
  int64_t cache_bytes = int64_t{20} << 30;
  int64_t only_results_bytes = 0;  // > 0: nothing outlives this process but results of stages, at most so much
  std::string listen = "127.0.0.1:7070";
  std::string metrics = "127.0.0.1:7071";  // or "none"
  std::string info_file;
  std::string engine;
  int workers = 0;  // 0: chosen from the machine
  bool insecure_listen_anywhere = false;
  TlsOptions tls;
  AccessOptions access;
  bool allow_anonymous = false;
  bool reflection = false;  // without authentication it is on anyway
  int max_connections = 0;  // 0: as many as open files allow
  std::chrono::milliseconds max_connection_idle{300'000};
  LogFormat log_format = LogFormat::kJson;
  LogLevel log_level = LogLevel::kInfo;
  Limits limits;
  MaintenanceOptions maintenance;
  std::chrono::milliseconds heartbeat{15000};
  std::chrono::milliseconds retry_backoff{1000};
  std::chrono::milliseconds task_timeout{0};
  std::chrono::milliseconds drain_delay{0};
  std::chrono::milliseconds drain_timeout{10000};
  int max_losses = 2;
};

// Either a configuration, or text to print and the exit status (--help, --version, a usage error).
struct ParsedCommandLine {
  bool run = false;
  ServerConfig config;
  int exit_status = 0;
  std::string text;
};

// `environment` returns the value of a variable or nullptr (std::getenv).
ParsedCommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                                   const std::function<const char*(const char*)>& environment);

// Whether --jobs names a PostgreSQL database.
bool IsPostgres(const std::string& jobs);

// Whether only this machine can connect to `listen`: a Unix socket or a loopback address.
bool IsLocalAddress(const std::string& listen);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_CONFIG_CONFIG_H_
