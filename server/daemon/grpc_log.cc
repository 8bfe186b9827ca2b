#include "server/daemon/grpc_log.h"

#include <grpc/support/log.h>

#include <string_view>

#include "server/log/log.h"

namespace nashswarm::server {
namespace {

void Receive(gpr_log_func_args* line) {
  const bool about_tls = std::string_view(line->file).find("ssl_") != std::string_view::npos;
  const bool error = line->severity == GPR_LOG_SEVERITY_ERROR && !about_tls;
  Log(error ? LogLevel::kWarning : LogLevel::kDebug, "grpc", {{"error", line->message}});
}

}  // namespace

void TakeOverGrpcLog() { gpr_set_log_function(Receive); }

}  // namespace nashswarm::server
