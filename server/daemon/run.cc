#include "server/daemon/run.h"

#include <grpc/grpc.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "core/base/status.h"
#include "server/daemon/daemon.h"
#include "server/daemon/grpc_log.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

// Beyond the time that calls have: for a store that does not answer. What ends then is as if it had been killed, which loses
// nothing. Whoever stops the server waits five seconds longer than the drain takes, at least (deploy/kubernetes).
constexpr std::chrono::milliseconds kSpare{4000};

int WaitForSignal(const sigset_t& signals) {
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

}  // namespace

int RunServer(const ServerConfig& config) {
  ConfigureLog(config.log_format, config.log_level);
  TakeOverGrpcLog();
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Every thread inherits it, and gRPC's begin below: signals come to sigwait alone, and one that comes early waits for it.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Never undone: when the last user of gRPC goes, gRPC waits for its own threads, one of which may look at a socket for ten
  // seconds more (its backup poller, after a large download). The end of the process ends them as well.
  grpc_init();

  absl::StatusOr<std::unique_ptr<Daemon>> daemon = Daemon::Start(config);
  if (!daemon.ok()) {
    const absl::Status& error = daemon.status();
    Log(LogLevel::kError, "cannot start",
        {{"reason", ReasonOf(error)}, {"error", std::string(error.message())}, {"hint", HintOf(error)}});
    return 1;
  }
  const int signal = WaitForSignal(signals);
  Log(LogLevel::kInfo, "stopping", {{"signal", signal}});
  // A second signal: the user will not wait. The kernel kills the engines with us.
  std::thread([signals] { _exit(128 + WaitForSignal(signals)); }).detach();
  std::thread([limit = config.drain_delay + config.drain_timeout + kSpare] {
    std::this_thread::sleep_for(limit);
    Log(LogLevel::kError, "did not stop in time, ends now", {{"milliseconds", static_cast<int64_t>(limit.count())}});
    _exit(1);
  }).detach();
  (*daemon)->Stop();
  daemon->reset();
  Log(LogLevel::kInfo, "stopped");
  return 0;
}

}  // namespace nashswarm::server
