// A JSON Web Key Set (RFC 7517) of public keys that verify signatures: RSA, EC P-256 and Ed25519 (RFC 8037).
#ifndef NASHSWARM_SERVER_AUTH_JWKS_H_
#define NASHSWARM_SERVER_AUTH_JWKS_H_

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::server {

// What a token's "alg" may be. There is no symmetric one: a public key must never be taken for a shared secret.
enum class JwtAlgorithm { kRs256, kPs256, kEs256, kEdDsa };

struct PublicKey {
  enum class Type { kRsa, kP256, kEd25519 };

  std::string id;   // "kid"; may be empty
  std::string alg;  // the only algorithm the key is for, "" for any of its type
  Type type = Type::kRsa;
  std::shared_ptr<EVP_PKEY> key;

  bool Fits(JwtAlgorithm algorithm) const;
};

class KeySet {
 public:
  // INVALID_ARGUMENT / JWKS_INVALID. Keys of other types or uses are left out, as RFC 7517 section 5 asks; a key that
  // should work and does not, and private or secret keys, are errors.
  static absl::StatusOr<KeySet> Parse(std::string_view text, const std::string& path);

  // The key with this id that fits the algorithm; with an empty id, the only one that fits. Null otherwise.
  const PublicKey* Find(const std::string& id, JwtAlgorithm algorithm) const;

  const std::vector<PublicKey>& keys() const { return keys_; }

 private:
  std::vector<PublicKey> keys_;
};

const char* NameOf(JwtAlgorithm algorithm);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_JWKS_H_
