// What nashswarmd can be told: flags > NASHSWARM_* environment > --config file > defaults.
#ifndef NASHSWARM_SERVER_CONFIG_CONFIG_H_
#define NASHSWARM_SERVER_CONFIG_CONFIG_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/log/log.h"
#include "server/scheduler/maintenance.h"
#include "server/services/context.h"

namespace nashswarm::server {

struct ServerConfig {
  std::string data;
  std::string listen = "127.0.0.1:50051";
  std::string metrics = "127.0.0.1:9464";  // or "none"
  std::string info_file;
  std::string engine;
  int workers = 0;  // 0: chosen from the machine
  bool insecure_listen_anywhere = false;
  LogFormat log_format = LogFormat::kJson;
  LogLevel log_level = LogLevel::kInfo;
  Limits limits;
  MaintenanceOptions maintenance;
  std::chrono::milliseconds heartbeat{15000};
  std::chrono::milliseconds retry_backoff{1000};
  std::chrono::milliseconds task_timeout{0};
  std::chrono::milliseconds drain_timeout{10000};
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

// Whether only this machine can connect to `listen`: a Unix socket or a loopback address.
bool IsLocalAddress(const std::string& listen);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_CONFIG_CONFIG_H_
