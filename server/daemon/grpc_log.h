// gRPC's own log lines, as lines of ours.
#ifndef NASHSWARM_SERVER_DAEMON_GRPC_LOG_H_
#define NASHSWARM_SERVER_DAEMON_GRPC_LOG_H_

namespace nashswarm::server {

// For the whole process. What any stranger can cause at will, a failed TLS handshake, is written at level debug.
void TakeOverGrpcLog();

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_GRPC_LOG_H_
