#include "server/auth/jwt.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/json.h"
#include "core/base/status.h"
#include "server/auth/base64url.h"

namespace nashswarm::server {
namespace {

// A token's JSON is flat, but for a claim or two.
constexpr int kMaxDepth = 8;
constexpr int kP256Bytes = 32;

absl::Status Bad(const char* why) {
  return MakeError(absl::StatusCode::kUnauthenticated, "BAD_TOKEN", absl::StrCat("the token is refused: ", why),
                   "get a token from the issuer this server trusts, for this server");
}

struct Parts {
  std::string_view header, claims, signature, signed_text;
};

std::optional<Parts> Split(std::string_view token) {
  if (std::count(token.begin(), token.end(), '.') != 2) return std::nullopt;
  const size_t first = token.find('.'), second = token.rfind('.');
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1),
               token.substr(0, second)};
}

// ParseJson's own messages quote the text.
absl::StatusOr<Json> DecodeObject(std::string_view part, const char* error) {
  const std::optional<std::string> text = DecodeBase64Url(part);
  if (!text.has_value()) return Bad(error);
  absl::StatusOr<Json> json = ParseJson(*text, "", kMaxDepth);
  if (!json.ok() || !json->is_object()) return Bad(error);
  return json;
}

std::optional<JwtAlgorithm> AlgorithmOf(const Json& header) {
  const std::string name = JsonString(header, "alg");
  for (const auto algorithm :
       {JwtAlgorithm::kRs256, JwtAlgorithm::kPs256, JwtAlgorithm::kEs256, JwtAlgorithm::kEdDsa}) {
    if (name == NameOf(algorithm)) return algorithm;
  }
  return std::nullopt;
}

// RFC 7518 section 3.4 joins r and s; OpenSSL wants them as ASN.1.
std::string ToDer(const std::string& joined) {
  if (joined.size() != 2 * kP256Bytes) return "";
  const auto* bytes = reinterpret_cast<const unsigned char*>(joined.data());
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(), ECDSA_SIG_free);
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes, kP256Bytes, nullptr),
                 BN_bin2bn(bytes + kP256Bytes, kP256Bytes, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return text;
}

bool IsSigned(std::string_view text, std::string signature, const PublicKey& key, JwtAlgorithm algorithm) {
  if (algorithm == JwtAlgorithm::kEs256) signature = ToDer(signature);
  if (signature.empty()) return false;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_PKEY_CTX* options = nullptr;
  const EVP_MD* digest = algorithm == JwtAlgorithm::kEdDsa ? nullptr : EVP_sha256();
  bool good = EVP_DigestVerifyInit(context.get(), &options, digest, nullptr, key.key.get()) == 1;
  if (good && algorithm == JwtAlgorithm::kPs256) {
    good = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  good =
      good && EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                               signature.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  ERR_clear_error();
  return good;
}

// Seconds since 1970 (RFC 7519 section 2, NumericDate); nothing for what no clock shows.
std::optional<absl::Time> TimeOf(const Json& claims, const char* name) {
  const auto it = claims.find(name);
  if (it == claims.end() || !it->is_number()) return std::nullopt;
  const double seconds = it->get<double>();
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return std::nullopt;
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

bool IsFor(const Json& claims, const std::string& audience) {
  const auto it = claims.find("aud");
  if (it == claims.end()) return false;
  if (it->is_string()) return it->get<std::string>() == audience;
  return it->is_array() && std::find(it->begin(), it->end(), Json(audience)) != it->end();
}

absl::StatusOr<Caller> CheckClaims(const Json& claims, const JwtRules& rules, absl::Time now) {
  if (JsonString(claims, "iss") != rules.issuer) return Bad("it comes from another issuer");
  if (!IsFor(claims, rules.audience)) return Bad("it is for another audience");
  const std::optional<absl::Time> expires = TimeOf(claims, "exp");
  if (!expires.has_value()) return Bad("it has no time of expiry (exp)");
  if (now >= *expires + kJwtLeeway) {
    return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED", "the token has expired",
                     "get a new token from its issuer");
  }
  if (claims.contains("nbf")) {
    const std::optional<absl::Time> not_before = TimeOf(claims, "nbf");
    if (!not_before.has_value() || now + kJwtLeeway < *not_before) return Bad("it is not valid yet (nbf)");
  }
  Caller caller;
  caller.tenant = JsonString(claims, rules.tenant_claim.c_str());
  if (!IsTenantName(caller.tenant)) return Bad("the claim that names the tenant is absent or no tenant's name");
  caller.subject = JsonString(claims, "sub");
  if (!IsSubject(caller.subject)) caller.subject = "unnamed";
  return caller;
}

}  // namespace

absl::StatusOr<Caller> VerifyJwt(std::string_view token, const KeySet& keys, const JwtRules& rules, absl::Time now) {
  if (token.size() > kMaxJwtBytes) return Bad("it is too long");
  const std::optional<Parts> parts = Split(token);
  if (!parts.has_value()) return Bad("it is not a signed JSON Web Token");
  NS_ASSIGN_OR_RETURN(const Json header, DecodeObject(parts->header, "its header is malformed"));
  if (header.contains("crit")) return Bad("its header asks for an extension (crit)");
  const std::optional<JwtAlgorithm> algorithm = AlgorithmOf(header);
  if (!algorithm.has_value()) return Bad("its algorithm is none of RS256, PS256, ES256 and EdDSA");
  const bool has_id = header.contains("kid");
  const std::string id = JsonString(header, "kid");
  if (has_id && id.empty()) return Bad("its key id is malformed");
  const PublicKey* key = keys.Find(id, *algorithm);
  if (key == nullptr) return Bad("no key of the server fits its key id and algorithm");
  const std::optional<std::string> signature = DecodeBase64Url(parts->signature);
  if (!signature.has_value() || !IsSigned(parts->signed_text, *signature, *key, *algorithm)) {
    return Bad("its signature is wrong");
  }
  NS_ASSIGN_OR_RETURN(const Json claims, DecodeObject(parts->claims, "its claims are malformed"));
  return CheckClaims(claims, rules, now);
}

}  // namespace nashswarm::server
