#include "client/cli/rpc.h"

#include <algorithm>

namespace nashswarm::cli {
namespace {

// A page of 1000 jobs with long reports passes gRPC's default of 4 MB.
constexpr int kMaxMessageBytes = 64 << 20;

std::string Target(const std::string& address) {
  for (const char* scheme : {"http://", "grpc://"}) {
    if (address.rfind(scheme, 0) == 0) return address.substr(std::string(scheme).size());
  }
  return address;
}

std::shared_ptr<grpc::Channel> Open(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // gRPC's own pause between connection attempts: shorter than ours, so that ours is the one that counts.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Two connections of one process to one address must not share a broken one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(Target(address), grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Connection::Connection(const std::string& address) : address_(address) {
  const auto channel = Open(address);
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
  if (ReasonOf(status) == kBusyReason) return true;
  if (status.code() != absl::StatusCode::kUnavailable) return false;
  // Both are verdicts after waiting, not invitations to wait again.
  const std::string reason = ReasonOf(status);
  return reason != kUnreachableReason && reason != kServerEndedReason;
}

absl::Status ExplainUnreachable(const Session& session, const absl::Status& status) {
  if (!IsConnectionLoss(status) || ReasonOf(status) == kBusyReason) return status;
  return MakeError(
      absl::StatusCode::kUnavailable, kUnreachableReason,
      "cannot reach the server at " + session.server.address() + " (" + std::string(status.message()) + ")",
      "check --server or NASHSWARM_SERVER, and that nashswarmd runs there: nashswarm server info --server " +
          session.server.address());
}

}  // namespace nashswarm::cli
