#include "server/auth/random_token.h"

#include <openssl/rand.h>

#include "core/base/status.h"
#include "server/auth/base64url.h"

namespace nashswarm::server {

absl::StatusOr<std::string> NewToken() {
  unsigned char bytes[32];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
    return MakeError(absl::StatusCode::kInternal, "NO_RANDOM_BYTES", "the system gave no random bytes");
  }
  return absl::StrCat("nsw_", EncodeBase64Url({reinterpret_cast<const char*>(bytes), sizeof(bytes)}));
}

}  // namespace nashswarm::server
