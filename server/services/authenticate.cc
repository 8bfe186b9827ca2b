#include "server/services/authenticate.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security_constants.h>

#include <string>
#include <vector>

#include "core/base/status.h"
#include "grpcpp/security/auth_context.h"

namespace nashswarm::server {
namespace {

std::string ToString(grpc::string_ref text) { return {text.data(), text.size()}; }

PeerCertificate CertificateOf(const grpc::ServerContextBase& call) {
  PeerCertificate peer;
  const std::shared_ptr<const grpc::AuthContext> auth = call.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return peer;
  peer.verified = true;
  const std::vector<grpc::string_ref> names = auth->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (names.size() == 1) peer.common_name = ToString(names.front());
  for (const grpc::string_ref& uri : auth->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
    peer.uris.push_back(ToString(uri));
  }
  return peer;
}

}  // namespace

absl::StatusOr<Caller> Authenticate(const ServiceContext& context, const grpc::ServerContextBase* call) {
  std::vector<std::string> authorization;
  const auto [begin, end] = call->client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) authorization.push_back(ToString(it->second));
  absl::StatusOr<Caller> caller = context.access->Authenticate(authorization, CertificateOf(*call));
  if (!caller.ok()) {
    context.metrics->AuthenticationFailed(ReasonOf(caller.status()));
    context.access->LogFailure(call->peer(), caller.status());
  } else if (context.on_caller) {
    context.on_caller(call->peer());
  }
  return caller;
}

void CancelTooSlow(grpc::ServerContext* call, const char* reason, const char* message) {
  // Not TryCancel(): the client would only learn that something was cancelled.
  grpc_call_cancel_with_status(call->c_call(), GRPC_STATUS_DEADLINE_EXCEEDED,
                               absl::StrCat(reason, ": ", message).c_str(), nullptr);
}

}  // namespace nashswarm::server
