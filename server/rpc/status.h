// The one place where an absl::Status becomes a grpc::Status: same code and message, and a google.rpc.Status with one
// ErrorInfo in the grpc-status-details-bin trailer.
#ifndef NASHSWARM_SERVER_RPC_STATUS_H_
#define NASHSWARM_SERVER_RPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace nashswarm::server {

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_RPC_STATUS_H_
