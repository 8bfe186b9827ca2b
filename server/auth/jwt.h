// Signed JSON Web Tokens (RFC 7519) in compact form, as RFC 8725 advises to check them.
#ifndef NASHSWARM_SERVER_AUTH_JWT_H_
#define NASHSWARM_SERVER_AUTH_JWT_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/auth/caller.h"
#include "server/auth/jwks.h"

namespace nashswarm::server {

struct JwtRules {
  std::string issuer;
  std::string audience;
  std::string tenant_claim = "tenant";
};

// How far the clocks of issuer and server may be apart.
inline constexpr absl::Duration kJwtLeeway = absl::Seconds(60);
// Above this a token is refused unread; metadata has its own limit.
inline constexpr size_t kMaxJwtBytes = 8 << 10;

// The caller the token names: the tenant of `tenant_claim`, the subject of "sub".
// UNAUTHENTICATED / BAD_TOKEN, TOKEN_EXPIRED. Messages hold nothing of the token.
absl::StatusOr<Caller> VerifyJwt(std::string_view token, const KeySet& keys, const JwtRules& rules, absl::Time now);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_JWT_H_
