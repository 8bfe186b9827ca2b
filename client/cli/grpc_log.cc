#include "client/cli/grpc_log.h"

#include <grpc/support/log.h>

#include <cstdio>
#include <mutex>
#include <string_view>

namespace nashswarm::cli {
namespace {

struct Kept {
  std::mutex mutex;
  std::string trouble;
};
Kept& TheKept() {
  static auto* const kept = new Kept();  // gRPC's threads may outlive every destructor
  return *kept;
}

void Receive(gpr_log_func_args* line) {
  const std::string_view file = line->file, message = line->message;
  const bool about_tls = file.find("ssl_") != std::string_view::npos || file.find("/tsi/") != std::string_view::npos;
  if (!about_tls || line->severity != GPR_LOG_SEVERITY_ERROR) {
    std::fprintf(stderr, "gRPC: %s\n", line->message);
    return;
  }
  const std::lock_guard lock(TheKept().mutex);
  TheKept().trouble = message;
}

}  // namespace

void KeepTlsLog() { gpr_set_log_function(Receive); }

std::string LastTlsTrouble() {
  const std::lock_guard lock(TheKept().mutex);
  return TheKept().trouble;
}

}  // namespace nashswarm::cli
