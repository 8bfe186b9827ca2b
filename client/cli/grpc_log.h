// What gRPC writes to its log. Why a TLS handshake failed is only said there.
#ifndef NASHSWARM_CLIENT_CLI_GRPC_LOG_H_
#define NASHSWARM_CLIENT_CLI_GRPC_LOG_H_

#include <string>

namespace nashswarm::cli {

// From now on the lines about TLS are kept instead of written to stderr. For the whole process.
void KeepTlsLog();
// The last of them, "" if there was none.
std::string LastTlsTrouble();

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_GRPC_LOG_H_
