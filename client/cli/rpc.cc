#include "client/cli/rpc.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <cstdlib>

#include "client/cli/grpc_log.h"

namespace nashswarm::cli {
namespace {

// A page of 1000 jobs with long reports passes gRPC's default of 4 MB.
constexpr int kMaxMessageBytes = 64 << 20;

// Never undone: when the last channel goes, gRPC waits for its own threads, one of which may look at a socket for ten seconds more
// (its backup poller, after a large upload). The end of the process ends them as well.
void KeepGrpc() {
  static const bool kept = (grpc_init(), true);
  (void)kept;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& target, bool tls,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  KeepGrpc();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // gRPC's own pause between connection attempts: shorter than ours, so that ours is the one that counts.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // It also bounds one attempt, for which TLS takes several round trips.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, tls ? 5000 : 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Two connections of one process to one address must not share a broken one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

// W3C trace context, from the variable in which pipelines pass it on. The server judges it; here it must only fit into
// metadata.
std::string CurrentTrace() {
  const char* value = std::getenv("TRACEPARENT");
  const std::string trace = value == nullptr ? "" : value;
  const bool fits = trace.size() <= 200 && std::all_of(trace.begin(), trace.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return fits ? trace : "";
}

}  // namespace

Connection::Connection(const std::string& address)
    : Connection(address, {.target = address}, {}, grpc::InsecureChannelCredentials()) {}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& address, const AccessFlags& flags) {
  NS_ASSIGN_OR_RETURN(const ServerAddress resolved, ResolveAddress(address, flags));
  NS_ASSIGN_OR_RETURN(const auto credentials, MakeCredentials(resolved, flags));
  return std::unique_ptr<Connection>(new Connection(address, resolved, flags, credentials));
}

absl::Status Connection::Authorize(grpc::ClientContext* context) const {
  NS_ASSIGN_OR_RETURN(const std::string token, CurrentToken(flags_));
  if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
  if (const std::string trace = CurrentTrace(); !trace.empty()) context->AddMetadata("traceparent", trace);
  return absl::OkStatus();
}

Connection::Connection(const std::string& address, const ServerAddress& resolved, const AccessFlags& flags,
                       const std::shared_ptr<grpc::ChannelCredentials>& credentials)
    : address_(address), tls_(resolved.tls), flags_(flags) {
  const auto channel = OpenChannel(resolved.target, resolved.tls, credentials);
  uploads_ = v1::UploadService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
  jobs_ = v1::JobService::NewStub(channel);
  artifacts_ = v1::ArtifactService::NewStub(channel);
  info_ = v1::InfoService::NewStub(channel);
}

Backoff::Backoff(const Session& session, const Patience& patience)
    : session_(session), patience_(patience), delay_(patience.first_delay), random_(std::random_device{}()) {}

absl::Status Backoff::Wait(const absl::Status& cause) {
  NS_RETURN_IF_ERROR(session_.interrupt.Check());
  NS_RETURN_IF_ERROR(session_.alive());
  if (waited_ >= patience_.give_up_after) return cause;
  std::uniform_int_distribution<int64_t> jitter(delay_.count() / 2, delay_.count());
  const std::chrono::milliseconds delay(jitter(random_));
  if (!session_.interrupt.SleepFor(delay)) return InterruptedError("interrupted");
  waited_ += delay;
  delay_ = std::min(delay_ * 2, patience_.longest_delay);
  return absl::OkStatus();
}

void Backoff::Reset() {
  delay_ = patience_.first_delay;
  waited_ = std::chrono::milliseconds(0);
}

bool IsConnectionLoss(const absl::Status& status) {
  for (const char* reason : {kBusyReason, kTooSlowUploadReason, kTooSlowDownloadReason}) {
    if (ReasonOf(status) == reason) return true;
  }
  if (status.code() != absl::StatusCode::kUnavailable) return false;
  // Verdicts after waiting, not invitations to wait again.
  const std::string reason = ReasonOf(status);
  return reason != kUnreachableReason && reason != kServerEndedReason && reason.rfind("TLS_", 0) != 0;
}

absl::Status ExplainUnreachable(const Session& session, const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnavailable || !IsConnectionLoss(status)) return status;
  std::string message(status.message());
  if (const std::string trouble = LastTlsTrouble(); !trouble.empty()) message += "; " + trouble;
  NS_RETURN_IF_ERROR(ExplainTls(session.server.address(), session.server.tls(), message));
  return MakeError(
      absl::StatusCode::kUnavailable, kUnreachableReason,
      "cannot reach the server at " + session.server.address() + " (" + std::string(status.message()) + ")",
      std::string("check --server or NASHSWARM_SERVER") + (session.server.tls() ? "" : ", add --tls if it is encrypted") +
          ", and that nashswarmd runs there: nashswarm server info --server " + session.server.address());
}

}  // namespace nashswarm::cli
