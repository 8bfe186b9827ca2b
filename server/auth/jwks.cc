#include "server/auth/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "core/base/json.h"
#include "core/base/status.h"
#include "server/auth/base64url.h"

namespace nashswarm::server {
namespace {

// NIST SP 800-131A: shorter ones are no longer acceptable. Longer ones than the upper bound only cost time.
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr size_t kP256CoordinateBytes = 32;
constexpr size_t kEd25519Bytes = 32;

struct Free {
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(OSSL_PARAM_BLD* p) const { OSSL_PARAM_BLD_free(p); }
  void operator()(OSSL_PARAM* p) const { OSSL_PARAM_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

using KeyPointer = std::shared_ptr<EVP_PKEY>;

KeyPointer Own(EVP_PKEY* key) { return key == nullptr ? nullptr : KeyPointer(key, EVP_PKEY_free); }

// A base64url member; "" when it is absent or malformed, which no key can use.
std::string Bytes(const Json& jwk, const char* member) { return DecodeBase64Url(JsonString(jwk, member)).value_or(""); }

Owned<BIGNUM> Number(const std::string& bytes) {
  return Owned<BIGNUM>(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
}

// Null when OpenSSL refuses the parameters, as it does for a point that is not on the curve.
KeyPointer Build(const char* type, OSSL_PARAM_BLD* builder) {
  const Owned<OSSL_PARAM> parameters(OSSL_PARAM_BLD_to_param(builder));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  const bool built = parameters != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                     EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  KeyPointer key = Own(raw);
  if (!built || key == nullptr) return nullptr;
  const Owned<EVP_PKEY_CTX> check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  return check != nullptr && EVP_PKEY_public_check(check.get()) == 1 ? key : nullptr;
}

KeyPointer RsaKey(const Json& jwk) {
  const std::string n = Bytes(jwk, "n"), e = Bytes(jwk, "e");
  if (n.empty() || e.empty() || n.size() > kMaxRsaBits / 8 || e.size() > 8) return nullptr;
  const Owned<BIGNUM> modulus = Number(n), exponent = Number(e);
  if (BN_num_bits(modulus.get()) < kMinRsaBits) return nullptr;
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return Build("RSA", builder.get());
}

KeyPointer P256Key(const Json& jwk) {
  const std::string x = Bytes(jwk, "x"), y = Bytes(jwk, "y");
  if (x.size() != kP256CoordinateBytes || y.size() != kP256CoordinateBytes) return nullptr;
  const std::string point = '\x04' + x + y;  // uncompressed, SEC 1 section 2.3.3
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return Build("EC", builder.get());
}

KeyPointer Ed25519Key(const Json& jwk) {
  const std::string x = Bytes(jwk, "x");
  if (x.size() != kEd25519Bytes) return nullptr;
  return Own(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(x.data()),
                                         x.size()));
}

bool IsForVerifying(const Json& jwk) {
  if (jwk.contains("use") && JsonString(jwk, "use") != "sig") return false;
  if (!jwk.contains("key_ops")) return true;
  const Json& operations = jwk["key_ops"];
  return operations.is_array() && std::find(operations.begin(), operations.end(), Json("verify")) != operations.end();
}

// Whether the key is of a type we know; what becomes of it is in `key`.
bool ReadKey(const Json& jwk, PublicKey* key) {
  const std::string type = JsonString(jwk, "kty"), curve = JsonString(jwk, "crv");
  if (type == "RSA") {
    key->type = PublicKey::Type::kRsa;
    key->key = RsaKey(jwk);
  } else if (type == "EC" && curve == "P-256") {
    key->type = PublicKey::Type::kP256;
    key->key = P256Key(jwk);
  } else if (type == "OKP" && curve == "Ed25519") {
    key->type = PublicKey::Type::kEd25519;
    key->key = Ed25519Key(jwk);
  } else {
    return false;
  }
  ERR_clear_error();
  return true;
}

}  // namespace

const char* NameOf(JwtAlgorithm algorithm) {
  switch (algorithm) {
    case JwtAlgorithm::kRs256:
      return "RS256";
    case JwtAlgorithm::kPs256:
      return "PS256";
    case JwtAlgorithm::kEs256:
      return "ES256";
    case JwtAlgorithm::kEdDsa:
      return "EdDSA";
  }
  return "";
}

bool PublicKey::Fits(JwtAlgorithm algorithm) const {
  if (!alg.empty() && alg != NameOf(algorithm)) return false;
  switch (algorithm) {
    case JwtAlgorithm::kRs256:
    case JwtAlgorithm::kPs256:
      return type == Type::kRsa;
    case JwtAlgorithm::kEs256:
      return type == Type::kP256;
    case JwtAlgorithm::kEdDsa:
      return type == Type::kEd25519;
  }
  return false;
}

absl::StatusOr<KeySet> KeySet::Parse(std::string_view text, const std::string& path) {
  const auto invalid = [&](const std::string& what) {
    return MakeError(absl::StatusCode::kInvalidArgument, "JWKS_INVALID", absl::StrCat(path, ": ", what),
                     "a JSON Web Key Set is needed, {\"keys\": [...]}, with public RSA keys of 2048 to 8192 bits, EC "
                     "P-256 or Ed25519 keys");
  };
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path));
  if (!json.is_object() || !json.contains("keys") || !json["keys"].is_array())
    return invalid("there is no list of keys");
  KeySet set;
  for (const Json& jwk : json["keys"]) {
    if (!jwk.is_object()) return invalid("a key is not an object");
    for (const char* member : {"kid", "alg"}) {
      if (jwk.contains(member) && !jwk[member].is_string())
        return invalid(absl::StrCat("a key's ", member, " is no text"));
    }
    PublicKey key{.id = JsonString(jwk, "kid"), .alg = JsonString(jwk, "alg")};
    const std::string name = absl::StrCat("key '", key.id, "'");
    if (jwk.contains("d") || jwk.contains("k")) {
      return invalid(absl::StrCat(name, " is private or secret: this file is for public keys"));
    }
    if (!IsForVerifying(jwk) || !ReadKey(jwk, &key)) continue;
    if (key.key == nullptr) return invalid(absl::StrCat(name, " is malformed or too weak"));
    const bool twice = std::any_of(set.keys_.begin(), set.keys_.end(), [&](const PublicKey& other) {
      return !key.id.empty() && other.id == key.id && other.type == key.type;
    });
    if (twice) return invalid(absl::StrCat(name, " appears twice"));
    set.keys_.push_back(std::move(key));
  }
  if (set.keys_.empty()) return invalid("it holds no key that verifies signatures");
  return set;
}

const PublicKey* KeySet::Find(const std::string& id, JwtAlgorithm algorithm) const {
  const PublicKey* found = nullptr;
  for (const PublicKey& key : keys_) {
    if ((!id.empty() && key.id != id) || !key.Fits(algorithm)) continue;
    if (found != nullptr) return nullptr;
    found = &key;
  }
  return found;
}

}  // namespace nashswarm::server
