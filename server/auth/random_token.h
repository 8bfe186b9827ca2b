// New tokens.
#ifndef NASHSWARM_SERVER_AUTH_RANDOM_TOKEN_H_
#define NASHSWARM_SERVER_AUTH_RANDOM_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"

namespace nashswarm::server {

// "nsw_" and 256 random bits in base64url: nothing to guess, and a prefix that scanners for leaked secrets can look
// for.
absl::StatusOr<std::string> NewToken();

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_RANDOM_TOKEN_H_
