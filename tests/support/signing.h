// Keys that sign JSON Web Tokens, and what an issuer publishes of them. Shares no code with the server.
#ifndef NASHSWARM_TESTS_SUPPORT_SIGNING_H_
#define NASHSWARM_TESTS_SUPPORT_SIGNING_H_

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace nashswarm::testing {

inline std::string Base64Url(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

class SigningKey {
 public:
  static SigningKey Rsa(unsigned bits = 2048) { return SigningKey(EVP_RSA_gen(bits)); }
  static SigningKey P256() { return SigningKey(EVP_EC_gen("P-256")); }
  static SigningKey Ed25519() { return SigningKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

  // The public key as a JWK.
  nlohmann::json Jwk(const std::string& id = "") const {
    nlohmann::json jwk;
    if (!id.empty()) jwk["kid"] = id;
    if (EVP_PKEY_is_a(key_.get(), "RSA")) {
      jwk["kty"] = "RSA";
      jwk["n"] = Base64Url(Number(OSSL_PKEY_PARAM_RSA_N));
      jwk["e"] = Base64Url(Number(OSSL_PKEY_PARAM_RSA_E));
    } else if (EVP_PKEY_is_a(key_.get(), "EC")) {
      jwk["kty"] = "EC";
      jwk["crv"] = "P-256";
      jwk["x"] = Base64Url(Padded(Number(OSSL_PKEY_PARAM_EC_PUB_X)));
      jwk["y"] = Base64Url(Padded(Number(OSSL_PKEY_PARAM_EC_PUB_Y)));
    } else {
      std::string raw(32, '\0');
      size_t size = raw.size();
      EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &size);
      jwk["kty"] = "OKP";
      jwk["crv"] = "Ed25519";
      jwk["x"] = Base64Url(raw);
    }
    return jwk;
  }

  std::string Sign(const std::string& text, bool pss = false) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_PKEY_CTX* options = nullptr;
    const bool ed = EVP_PKEY_is_a(key_.get(), "ED25519");
    EVP_DigestSignInit(context.get(), &options, ed ? nullptr : EVP_sha256(), nullptr, key_.get());
    if (pss) {
      EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST);
    }
    const auto* data = reinterpret_cast<const unsigned char*>(text.data());
    size_t size = 0;
    EVP_DigestSign(context.get(), nullptr, &size, data, text.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data, text.size());
    signature.resize(size);
    return EVP_PKEY_is_a(key_.get(), "EC") ? Joined(signature) : signature;
  }

  // A token with any header and claims, signed as `header["alg"]` says.
  std::string Token(const nlohmann::json& header, const nlohmann::json& claims) const {
    return TokenOf(header.dump(), claims.dump(), header.value("alg", "") == "PS256");
  }
  std::string TokenOf(const std::string& header, const std::string& claims, bool pss = false) const {
    const std::string text = Base64Url(header) + "." + Base64Url(claims);
    return text + "." + Base64Url(Sign(text, pss));
  }

 private:
  explicit SigningKey(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

  std::string Number(const char* name) const {
    BIGNUM* number = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &number);
    std::string bytes(static_cast<size_t>(BN_num_bytes(number)), '\0');
    BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
    BN_free(number);
    return bytes;
  }
  static std::string Padded(const std::string& bytes) { return std::string(32 - bytes.size(), '\0') + bytes; }
  static std::string Joined(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
    std::string joined(64, '\0');
    auto* out = reinterpret_cast<unsigned char*>(joined.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + 32, 32);
    return joined;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

inline std::string KeySetOf(const std::vector<nlohmann::json>& keys) { return nlohmann::json{{"keys", keys}}.dump(); }

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_SUPPORT_SIGNING_H_
