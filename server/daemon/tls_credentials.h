// gRPC's server credentials for TlsFiles.
#ifndef NASHSWARM_SERVER_DAEMON_TLS_CREDENTIALS_H_
#define NASHSWARM_SERVER_DAEMON_TLS_CREDENTIALS_H_

#include <memory>

#include "grpcpp/security/server_credentials.h"
#include "server/auth/tls_files.h"

namespace nashswarm::server {

// TLS 1.2 at least. Each new connection gets the certificate that `files` has then; with a client CA clients must show
// a certificate of it.
std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(std::shared_ptr<TlsFiles> files);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_TLS_CREDENTIALS_H_
