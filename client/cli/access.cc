#include "client/cli/access.h"

#include <algorithm>

#include "client/cli/errors.h"
#include "client/cli/files.h"

namespace nashswarm::cli {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;
constexpr int64_t kMaxTokenBytes = 12 << 10;  // servers take metadata of 16 KiB

bool Contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// A character gRPC would not put into a header ends the program in it.
absl::StatusOr<std::string> CleanToken(std::string token, const std::string& where) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  token.erase(token.begin(), std::find_if_not(token.begin(), token.end(), is_space));
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!token.empty() && plain) return token;
  return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_FILE", where + " holds no token",
                   "it must hold the token and nothing else, on one line");
}

absl::Status Tls(const char* reason, const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kUnavailable, reason, message, hint);
}

}  // namespace

bool IsLocal(const std::string& target) {
  if (target.rfind("unix:", 0) == 0) return true;
  const std::string host = target.substr(0, target.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  return host.rfind("127.", 0) == 0 && host.find_first_not_of("0123456789.") == std::string::npos;
}

absl::StatusOr<ServerAddress> ResolveAddress(const std::string& address, const AccessFlags& flags) {
  ServerAddress resolved = {.target = address, .tls = flags.tls};
  struct Scheme {
    std::string prefix;
    bool tls;
  };
  for (const Scheme& scheme : {Scheme{"https://", true}, {"grpcs://", true}, {"http://", false}, {"grpc://", false}}) {
    if (address.rfind(scheme.prefix, 0) != 0) continue;
    if (flags.tls && !scheme.tls) {
      return UsageError("--tls contradicts " + scheme.prefix + " in the address", "leave out one of them");
    }
    resolved = {.target = address.substr(scheme.prefix.size()), .tls = scheme.tls};
  }
  while (!resolved.target.empty() && resolved.target.back() == '/') resolved.target.pop_back();
  if (flags.has_token() && !resolved.tls && !flags.send_token_unencrypted && !IsLocal(resolved.target)) {
    return UsageError("the token would travel unencrypted to " + resolved.target + ", where others can read it",
                      "add --tls; or, on a network you trust, --send-token-unencrypted");
  }
  return resolved;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(const ServerAddress& address,
                                                                          const AccessFlags& flags) {
  const bool has_files = !flags.ca.empty() || !flags.certificate.empty() || !flags.key.empty();
  if (!address.tls) {
    if (has_files) return UsageError("--ca, --cert and --key are for TLS", "add --tls, or write https://HOST:PORT");
    return grpc::InsecureChannelCredentials();
  }
  if (flags.certificate.empty() != flags.key.empty()) {
    return UsageError("--cert and --key go together", "give the certificate and its private key");
  }
  grpc::SslCredentialsOptions options;
  const auto read = [](const std::string& path, std::string* pem) -> absl::Status {
    if (path.empty()) return absl::OkStatus();
    NS_ASSIGN_OR_RETURN(*pem, ReadSmallFile(path, kMaxPemBytes));
    if (Contains(*pem, "-----BEGIN ")) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_PEM", path + " is not a PEM file",
                     "a PEM file has lines like -----BEGIN CERTIFICATE-----");
  };
  NS_RETURN_IF_ERROR(read(flags.ca, &options.pem_root_certs));
  NS_RETURN_IF_ERROR(read(flags.certificate, &options.pem_cert_chain));
  NS_RETURN_IF_ERROR(read(flags.key, &options.pem_private_key));
  return grpc::SslCredentials(options);
}

absl::StatusOr<std::string> CurrentToken(const AccessFlags& flags) {
  if (!flags.token_file.empty()) {
    NS_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(flags.token_file, kMaxTokenBytes));
    return CleanToken(text, flags.token_file);
  }
  if (flags.token.empty()) return std::string();
  return CleanToken(flags.token, "NASHSWARM_TOKEN");
}

// The messages are those of gRPC 1.51 and OpenSSL 3.
absl::Status ExplainTls(const std::string& address, bool tls, const std::string& message) {
  if (Contains(message, "certificate verify failed") || Contains(message, "CERTIFICATE_VERIFY_FAILED")) {
    return Tls("TLS_UNTRUSTED",
               "the certificate of " + address + " is not of a CA that is trusted here, or has expired",
               "name the server's CA with --ca FILE");
  }
  if (Contains(message, "is not in peer certificate") || Contains(message, "Hostname Verification")) {
    return Tls("TLS_WRONG_NAME", "the certificate of " + address + " is for another name",
               "use the name the certificate was made for as the host of --server");
  }
  if (Contains(message, "wrong version number") || Contains(message, "packet length too long") ||
      Contains(message, "WRONG_VERSION_NUMBER")) {
    return Tls("TLS_NOT_SPOKEN", "the server at " + address + " does not speak TLS",
               "leave out --tls, or write http:// instead of https://");
  }
  if (Contains(message, "certificate required") || Contains(message, "bad certificate") ||
      Contains(message, "unknown ca") || Contains(message, "handshake failure")) {
    return Tls("TLS_CERTIFICATE_REFUSED", "the server at " + address + " does not accept this client's certificate",
               "give one of a CA that the server trusts: --cert FILE --key FILE");
  }
  // What a server does that speaks no TLS to us, or TLS to nobody without a certificate, is to hang up.
  const bool hung_up = Contains(message, "Socket closed") || Contains(message, "Connection reset") ||
                       Contains(message, "handshaker shutdown");
  if (tls && (hung_up || Contains(message, "Ssl handshake failed"))) {
    return Tls("TLS_FAILED", "TLS with the server at " + address + " came to nothing (" + message + ")",
               "check --server and --ca; if the server wants a client certificate, give --cert and --key");
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::cli
