// Access: decides who calls, and what they may use. Knows nothing of gRPC.
#ifndef NASHSWARM_SERVER_AUTH_ACCESS_H_
#define NASHSWARM_SERVER_AUTH_ACCESS_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/auth/caller.h"
#include "server/auth/jwks.h"
#include "server/auth/jwt.h"
#include "server/auth/tenants.h"
#include "server/auth/tokens.h"
#include "server/auth/watched_file.h"

namespace nashswarm::server {

// Which part of a client certificate names the tenant.
enum class TenantFrom { kNone, kCommonName, kSanUri };

// Empty paths: not configured.
struct AccessOptions {
  std::string tokens;
  std::string jwks;
  JwtRules jwt;
  std::string tenants;
  bool client_certificates = false;  // the transport lets in nobody without one
  TenantFrom tenant_from = TenantFrom::kNone;

  bool needs_token() const { return !tokens.empty() || !jwks.empty(); }
  // Whether anybody is asked anything. If so everybody is, on a Unix socket and on loopback too.
  bool required() const { return needs_token() || client_certificates; }
};

// What the transport has verified about the other side.
struct PeerCertificate {
  bool verified = false;
  std::string common_name;
  std::vector<std::string> uris;  // subject alternative names of type URI
};

// Thread-safe. Follows its files.
class Access {
 public:
  static absl::StatusOr<std::unique_ptr<Access>> Open(const AccessOptions& options,
                                                      const SteadyClock& clock = std::chrono::steady_clock::now);

  // `authorization`: every value of that metadata key. When tokens and certificates are configured both must be good,
  // and name the same tenant if the certificate names one.
  // UNAUTHENTICATED / NO_TOKEN, BAD_TOKEN, TOKEN_EXPIRED, NO_CERTIFICATE; PERMISSION_DENIED / TENANT_MISMATCH,
  // CERTIFICATE_WITHOUT_TENANT.
  absl::StatusOr<Caller> Authenticate(const std::vector<std::string>& authorization, const PeerCertificate& peer);

  TenantQuota QuotaOf(const std::string& tenant);

  // Writes at most one line a second, with the number of failures that got none.
  void LogFailure(const std::string& peer, const absl::Status& status);

 private:
  Access(const AccessOptions& options, const SteadyClock& clock) : options_(options), clock_(clock) {}

  absl::StatusOr<Caller> CallerOfToken(const std::vector<std::string>& authorization);
  absl::StatusOr<Caller> CallerOfCertificate(const PeerCertificate& peer) const;

  const AccessOptions options_;
  const SteadyClock clock_;
  // Null where not configured.
  std::unique_ptr<WatchedFile<TokenSet>> tokens_;
  std::unique_ptr<WatchedFile<KeySet>> keys_;
  std::unique_ptr<WatchedFile<TenantQuotas>> quotas_;

  std::mutex log_mutex_;  // guards what follows
  std::chrono::steady_clock::time_point last_log_;
  int64_t not_logged_ = 0;
  bool logged_ = false;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_ACCESS_H_
