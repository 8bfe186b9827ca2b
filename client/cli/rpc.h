// The connection to a server, and calls that outlive its short absences.
#ifndef NASHSWARM_CLIENT_CLI_RPC_H_
#define NASHSWARM_CLIENT_CLI_RPC_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/access.h"
#include "client/cli/errors.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "nashswarm/v1/nashswarm.grpc.pb.h"

namespace nashswarm::cli {

// How long to keep trying while nothing moves. Delays double from `first_delay` up to `longest_delay`, each drawn at
// random from the upper half, so that many clients do not return at the same instant.
struct Patience {
  std::chrono::milliseconds first_delay{200};
  std::chrono::milliseconds longest_delay{10'000};
  std::chrono::milliseconds give_up_after{2'000};
};

// The first contact fails soon: most likely the address is wrong.
constexpr Patience kFirstContact = {};
// In the middle of a transfer a server may be restarted or moved to another machine: that takes a minute or two.
constexpr Patience kTransfer = {.give_up_after = std::chrono::milliseconds(180'000)};

// One server. Thread-safe; the address outlives nothing, it is copied.
class Connection {
 public:
  // In plaintext and without a token: a private server, a test.
  explicit Connection(const std::string& address);
  // As the flags say. USAGE, or errors of reading their files; whether anybody answers shows later.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& address, const AccessFlags& flags);

  // Before a call: shows the token, as it is now, and names the trace that the caller is in (TRACEPARENT).
  absl::Status Authorize(grpc::ClientContext* context) const;

  const std::string& address() const { return address_; }
  bool tls() const { return tls_; }
  v1::UploadService::Stub* uploads() { return uploads_.get(); }
  v1::ModelService::Stub* models() { return models_.get(); }
  v1::JobService::Stub* jobs() { return jobs_.get(); }
  v1::ArtifactService::Stub* artifacts() { return artifacts_.get(); }
  v1::InfoService::Stub* info() { return info_.get(); }

 private:
  Connection(const std::string& address, const ServerAddress& resolved, const AccessFlags& flags,
             const std::shared_ptr<grpc::ChannelCredentials>& credentials);

  std::string address_;
  bool tls_;
  AccessFlags flags_;
  std::unique_ptr<v1::UploadService::Stub> uploads_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  std::unique_ptr<v1::InfoService::Stub> info_;
};

// What every operation on a server needs. Owns nothing but the hook.
struct Session {
  Connection& server;
  Interrupt& interrupt;
  Progress& progress;
  Patience transfer = kTransfer;
  // Not OK once there is no use in waiting for the server: a private server that has died.
  std::function<absl::Status()> alive = [] { return absl::OkStatus(); };
};

// Final: the patience is used up; the private server is gone.
constexpr char kUnreachableReason[] = "SERVER_UNREACHABLE";
constexpr char kServerEndedReason[] = "PRIVATE_SERVER_ENDED";
// The server has as many streams as it allows: a place becomes free when another client's ends.
constexpr char kBusyReason[] = "TOO_MANY_STREAMS";
// The server has not waited for us longer: the network was slow, or this machine. The transfer goes on where it was.
constexpr char kTooSlowUploadReason[] = "UPLOAD_TOO_SLOW";
constexpr char kTooSlowDownloadReason[] = "DOWNLOAD_TOO_SLOW";

// Waits between attempts.
class Backoff {
 public:
  Backoff(const Session& session, const Patience& patience);
  // Sleeps; then OK, or `cause` when the patience is used up, or INTERRUPTED.
  absl::Status Wait(const absl::Status& cause);
  // Something moved: delays and patience start over.
  void Reset();

 private:
  const Session& session_;
  const Patience patience_;
  std::chrono::milliseconds delay_;
  std::chrono::milliseconds waited_{0};
  std::minstd_rand random_;
};

// Whether the same call may succeed later without any change.
bool IsConnectionLoss(const absl::Status& status);
// An unreachable server, with its address and what to do.
absl::Status ExplainUnreachable(const Session& session, const absl::Status& status);

// One unary call, repeated while the server is unreachable; every unary method of the API is idempotent.
// `deadline` bounds one attempt.
template <typename Stub, typename Request, typename Response>
absl::Status CallUnary(const Session& session, Stub* stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                       const Request& request, Response* response, const Patience& patience = kFirstContact,
                       std::chrono::seconds deadline = std::chrono::seconds(60)) {
  Backoff backoff(session, patience);
  while (true) {
    Call call(session.interrupt);
    NS_RETURN_IF_ERROR(session.server.Authorize(call.context()));
    call.context()->set_deadline(std::chrono::system_clock::now() + deadline);
    const absl::Status status = call.Finish((stub->*method)(call.context(), request, response));
    if (!IsConnectionLoss(status)) return status;
    if (const absl::Status wait = backoff.Wait(status); !wait.ok()) return ExplainUnreachable(session, wait);
  }
}

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_RPC_H_
