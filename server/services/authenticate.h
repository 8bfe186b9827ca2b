// The first thing every handler does.
#ifndef NASHSWARM_SERVER_SERVICES_AUTHENTICATE_H_
#define NASHSWARM_SERVER_SERVICES_AUTHENTICATE_H_

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "server/services/context.h"

namespace nashswarm::server {

// Who calls. A handler looks at nothing else before, so that nobody learns from an error what is there.
// Errors as Access::Authenticate; they are counted and logged here.
absl::StatusOr<Caller> Authenticate(const ServiceContext& context, const grpc::ServerContextBase* call);

// Ends a call from another thread with DEADLINE_EXCEEDED. What the handler returns is not sent then, and no details
// are: the reason goes in front of the message.
void CancelTooSlow(grpc::ServerContext* call, const char* reason, const char* message);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_AUTHENTICATE_H_
