// The token file: who may call, by the SHA-256 of a token they hold. One line a token,
//   TENANT SUBJECT sha256:HEX [expires=2027-01-01T00:00:00Z] [admin]
// empty lines and lines that begin with '#' aside. The file holds no secrets: tokens are random, so their hashes cannot
// be turned back, and need neither salt nor slow hashing.
#ifndef NASHSWARM_SERVER_AUTH_TOKENS_H_
#define NASHSWARM_SERVER_AUTH_TOKENS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/auth/caller.h"

namespace nashswarm::server {

class TokenSet {
 public:
  // INVALID_ARGUMENT / TOKENS_INVALID, with the number of the line, never its content.
  static absl::StatusOr<TokenSet> Parse(std::string_view text, const std::string& path);

  // UNAUTHENTICATED / BAD_TOKEN, TOKEN_EXPIRED. How long it takes does not depend on how much of a hash was right.
  absl::StatusOr<Caller> Find(std::string_view token, absl::Time now) const;

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Caller caller;
    std::string sha256;  // 32 raw bytes
    absl::Time expires = absl::InfiniteFuture();
  };
  std::vector<Entry> entries_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_TOKENS_H_
