#include "server/auth/access.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/base/status.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

constexpr std::chrono::seconds kLogInterval{1};

absl::Status Unauthenticated(const char* reason, const char* message, const char* hint) {
  return MakeError(absl::StatusCode::kUnauthenticated, reason, message, hint);
}

// The token of "Bearer TOKEN" (RFC 6750 section 2.1).
absl::StatusOr<std::string> BearerToken(const std::vector<std::string>& authorization) {
  constexpr char kHint[] =
      "with nashswarm: --token-file FILE or NASHSWARM_TOKEN; else metadata authorization: Bearer TOKEN";
  if (authorization.empty()) return Unauthenticated("NO_TOKEN", "this server wants a token, and there was none", kHint);
  if (authorization.size() > 1) return Unauthenticated("BAD_TOKEN", "there is more than one authorization", kHint);
  constexpr absl::string_view kScheme = "bearer ";
  const std::string& value = authorization.front();
  if (!absl::StartsWithIgnoreCase(value, kScheme)) {
    return Unauthenticated("BAD_TOKEN", "the authorization is not a bearer token", kHint);
  }
  std::string token(absl::StripAsciiWhitespace(absl::string_view(value).substr(kScheme.size())));
  if (token.empty()) return Unauthenticated("NO_TOKEN", "this server wants a token, and it was empty", kHint);
  return token;
}

absl::StatusOr<TokenSet> ParseTokens(const std::string& text, const std::string& path) {
  WarnIfReadableByOthers("tokens", path);
  return TokenSet::Parse(text, path);
}

// The last part of the path: "spiffe://example.org/tenant/team-a" names team-a.
std::string LastSegment(const std::string& uri) {
  const size_t slash = uri.rfind('/');
  return slash == std::string::npos ? uri : uri.substr(slash + 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Access>> Access::Open(const AccessOptions& options, const SteadyClock& clock) {
  std::unique_ptr<Access> access(new Access(options, clock));
  if (!options.tokens.empty()) {
    NS_ASSIGN_OR_RETURN(access->tokens_, WatchedFile<TokenSet>::Open("tokens", options.tokens, ParseTokens, clock));
  }
  if (!options.jwks.empty()) {
    NS_ASSIGN_OR_RETURN(access->keys_, WatchedFile<KeySet>::Open("jwks", options.jwks, KeySet::Parse, clock));
  }
  if (!options.tenants.empty()) {
    NS_ASSIGN_OR_RETURN(access->quotas_,
                        WatchedFile<TenantQuotas>::Open("tenants", options.tenants, TenantQuotas::Parse, clock));
  }
  return access;
}

absl::StatusOr<Caller> Access::Authenticate(const std::vector<std::string>& authorization,
                                            const PeerCertificate& peer) {
  Caller certified;
  if (options_.client_certificates) {
    NS_ASSIGN_OR_RETURN(certified, CallerOfCertificate(peer));
  }
  if (!options_.needs_token()) return certified;
  NS_ASSIGN_OR_RETURN(Caller caller, CallerOfToken(authorization));
  if (options_.client_certificates && options_.tenant_from != TenantFrom::kNone && caller.tenant != certified.tenant) {
    return MakeError(absl::StatusCode::kPermissionDenied, "TENANT_MISMATCH",
                     "the token and the client certificate are of different tenants",
                     "use a token and a certificate of the same tenant");
  }
  return caller;
}

absl::StatusOr<Caller> Access::CallerOfToken(const std::vector<std::string>& authorization) {
  NS_ASSIGN_OR_RETURN(const std::string token, BearerToken(authorization));
  const absl::Time now = absl::Now();
  absl::StatusOr<Caller> known = Unauthenticated("BAD_TOKEN", "the server does not know this token", "");
  if (tokens_ != nullptr) known = tokens_->Get()->Find(token, now);
  if (known.ok() || keys_ == nullptr || ReasonOf(known.status()) == "TOKEN_EXPIRED") return known;
  return VerifyJwt(token, *keys_->Get(), options_.jwt, now);
}

absl::StatusOr<Caller> Access::CallerOfCertificate(const PeerCertificate& peer) const {
  if (!peer.verified) {
    return Unauthenticated("NO_CERTIFICATE", "this server wants a client certificate, and there was none",
                           "with nashswarm: --cert FILE --key FILE");
  }
  Caller caller;
  caller.subject = IsSubject(peer.common_name) ? peer.common_name : "certificate";
  if (options_.tenant_from == TenantFrom::kNone) return caller;
  std::string tenant = peer.common_name;
  if (options_.tenant_from == TenantFrom::kSanUri) {
    // With two of them it would be a matter of luck whose the models are.
    if (peer.uris.size() == 1 && IsSubject(peer.uris.front())) caller.subject = peer.uris.front();
    tenant = peer.uris.size() == 1 ? LastSegment(peer.uris.front()) : "";
  }
  if (!IsTenantName(tenant)) {
    return MakeError(absl::StatusCode::kPermissionDenied, "CERTIFICATE_WITHOUT_TENANT",
                     "the client certificate does not name a tenant",
                     "see --tls-tenant-from of this server for where it must be named");
  }
  caller.tenant = tenant;
  return caller;
}

TenantQuota Access::QuotaOf(const std::string& tenant) {
  return quotas_ == nullptr ? TenantQuota() : quotas_->Get()->Of(tenant);
}

void Access::LogFailure(const std::string& peer, const absl::Status& status) {
  int64_t not_logged = 0;
  {
    std::lock_guard<std::mutex> lock(log_mutex_);
    const auto now = clock_();
    if (logged_ && now - last_log_ < kLogInterval) {
      ++not_logged_;
      return;
    }
    logged_ = true;
    last_log_ = now;
    std::swap(not_logged, not_logged_);
  }
  Log(LogLevel::kInfo, "a caller was refused",
      {{"peer", peer},
       {"reason", ReasonOf(status)},
       {"error", std::string(status.message())},
       {"more_not_logged", not_logged}});
}

}  // namespace nashswarm::server
