// Where a server is, how it is reached, and what is shown to it.
#ifndef NASHSWARM_CLIENT_CLI_ACCESS_H_
#define NASHSWARM_CLIENT_CLI_ACCESS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::cli {

// What the user said; paths of PEM files, empty when not given.
struct AccessFlags {
  bool tls = false;  // or an address that begins with https:// or grpcs://
  std::string ca;    // empty: the system's
  std::string certificate, key;
  std::string token_file;
  std::string token;  // of the environment; a file given as a flag wins
  bool send_token_unencrypted = false;

  bool has_token() const { return !token.empty() || !token_file.empty(); }
};

// "host:port", with or without a scheme, or "unix:/path".
struct ServerAddress {
  std::string target;  // for gRPC
  bool tls = false;
};

// Whether "HOST:PORT" or "unix:/path" is of this machine, so that nobody on the way can listen. "127.example.org" is a name
// like any other.
bool IsLocal(const std::string& target);

// USAGE when the address and the flags contradict each other, or a token would travel for all to read.
absl::StatusOr<ServerAddress> ResolveAddress(const std::string& address, const AccessFlags& flags);

// USAGE for files that do not go together; errors of reading them.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(const ServerAddress& address,
                                                                          const AccessFlags& flags);

// The token to show now, "" for none. Reads the file each time: whoever keeps it may replace it during a long transfer.
// UNAUTHENTICATED / TOKEN_FILE for a file that holds no token.
absl::StatusOr<std::string> CurrentToken(const AccessFlags& flags);

// What a failed connection means, when it failed for TLS: `message` is what gRPC says. OK when it says nothing of the
// kind.
absl::Status ExplainTls(const std::string& address, bool tls, const std::string& message);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_ACCESS_H_
