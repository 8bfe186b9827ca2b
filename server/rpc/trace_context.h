// The trace that a call belongs to.
#ifndef NASHSWARM_SERVER_RPC_TRACE_CONTEXT_H_
#define NASHSWARM_SERVER_RPC_TRACE_CONTEXT_H_

#include <string>

#include "grpcpp/server_context.h"
#include "server/log/trace_id.h"

namespace nashswarm::server {

// The call's metadata "traceparent", as ValidTraceparent gives it; "" when there is none, or more than one.
std::string TraceparentOf(const grpc::ServerContext& call);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_RPC_TRACE_CONTEXT_H_
