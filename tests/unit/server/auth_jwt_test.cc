#include <openssl/hmac.h>

#include <functional>
#include <map>

#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/base64url.h"
#include "server/auth/jwt.h"
#include "tests/support/signing.h"

namespace nashswarm::server {
namespace {

using nashswarm::testing::Base64Url;
using nashswarm::testing::KeySetOf;
using nashswarm::testing::SigningKey;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000;

// Made once: an RSA key takes its time.
struct Keys {
  SigningKey rsa = SigningKey::Rsa(), ec = SigningKey::P256(), ed = SigningKey::Ed25519(), other = SigningKey::P256();
  KeySet set = *KeySet::Parse(KeySetOf({rsa.Jwk("rsa"), ec.Jwk("ec"), ed.Jwk("ed")}), "keys.json");
};
const Keys& TestKeys() {
  static const Keys* const keys = new Keys();
  return *keys;
}

json Claims() {
  return {{"iss", "https://issuer"}, {"aud", "nashswarm"}, {"exp", kNow + 600}, {"sub", "ci"}, {"tenant", "team-a"}};
}

absl::StatusOr<Caller> Verify(const std::string& token, const KeySet& keys = TestKeys().set) {
  return VerifyJwt(token, keys, {.issuer = "https://issuer", .audience = "nashswarm"}, absl::FromUnixSeconds(kNow));
}
std::string MessageOf(const absl::StatusOr<Caller>& caller) { return std::string(caller.status().message()); }

TEST(JwtTest, EveryAlgorithmIsAccepted) {
  const Keys& keys = TestKeys();
  const std::map<std::string, std::string> tokens = {
      {"RS256", keys.rsa.Token({{"alg", "RS256"}, {"kid", "rsa"}}, Claims())},
      {"PS256", keys.rsa.Token({{"alg", "PS256"}, {"kid", "rsa"}}, Claims())},
      {"ES256", keys.ec.Token({{"alg", "ES256"}, {"kid", "ec"}, {"typ", "JWT"}}, Claims())},
      {"EdDSA", keys.ed.Token({{"alg", "EdDSA"}, {"kid", "ed"}}, Claims())},
      {"without kid", keys.ed.Token({{"alg", "EdDSA"}}, Claims())}};
  for (const auto& [name, token] : tokens) {
    const auto caller = Verify(token);
    ASSERT_TRUE(caller.ok()) << name << ": " << caller.status();
    EXPECT_EQ(caller->tenant, "team-a");
    EXPECT_EQ(caller->subject, "ci");
    EXPECT_FALSE(caller->admin);
  }
}

// The examples of the RFCs carry none of our claims: they are refused for those, so after their signature was good.
struct Published {
  const char *name, *jwk, *token, *refusal;
};
constexpr Published kPublished[] = {
    {"RFC 7515 A.2",
     R"({"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})",
     "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
     "nVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9"
     "CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--"
     "x"
     "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
     "IoypGlU"
     "PQGe77Rw",
     "issuer"},
    {"RFC 7515 A.3",
     R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})",
     "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
     "nVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
     "issuer"},
    {"RFC 8037 A.4", R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
     "09PGcvMg3AIbQR6dWbhijcNR4ki4i"
     "ylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
     "claims are malformed"}};

TEST(JwtTest, PublishedSignaturesVerify) {
  for (const Published& example : kPublished) {
    const auto keys = KeySet::Parse(KeySetOf({json::parse(example.jwk)}), "keys.json");
    ASSERT_TRUE(keys.ok()) << example.name << keys.status();
    EXPECT_THAT(MessageOf(Verify(example.token, *keys)), HasSubstr(example.refusal)) << example.name;
    std::string forged = example.token;
    forged[forged.find('.') + 5] ^= 1;
    EXPECT_THAT(MessageOf(Verify(forged, *keys)), HasSubstr("signature is wrong")) << example.name;
  }
}

std::string With(const char* claim, const json& value) {
  json claims = Claims();
  claims[claim] = value;
  return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", "ec"}}, claims);
}
std::string Without(const char* claim) {
  json claims = Claims();
  claims.erase(claim);
  return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", "ec"}}, claims);
}
std::string Good() { return With("sub", "ci"); }

// An attacker who knows the public key and signs with it as if it were a secret.
std::string SignedWithThePublicKey() {
  const std::string text = Base64Url(R"({"alg":"HS256","kid":"rsa"})") + "." + Base64Url(Claims().dump());
  const std::string secret = TestKeys().rsa.Jwk("rsa").dump();
  unsigned char mac[32];
  unsigned size = sizeof(mac);
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  return text + "." + Base64Url({reinterpret_cast<char*>(mac), size});
}

std::string Unsigned() { return Base64Url(R"({"alg":"none"})") + "." + Base64Url(Claims().dump()) + "."; }

// The last character of a signature of 64 bytes holds 2 bits of it and 4 that must be 0.
std::string OtherSpelling() {
  std::string token = Good();
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  token.back() = alphabet[alphabet.find(token.back()) + 1];
  return token;
}

std::string OtherSignature(const std::string& signature) {
  const std::string token = Good();
  return token.substr(0, token.rfind('.') + 1) + signature;
}

struct Attack {
  const char* name;
  std::function<std::string()> token;
  const char* refusal;
};

const Attack kAttacks[] = {
    {"empty", [] { return ""; }, "not a signed"},
    {"two parts", [] { return "a.b"; }, "not a signed"},
    {"four parts", [] { return Good() + ".x"; }, "not a signed"},
    {"alg none", Unsigned, "algorithm"},
    {"alg None", [] { return Base64Url(R"({"alg":"None"})") + "." + Base64Url(Claims().dump()) + "."; }, "algorithm"},
    {"no alg",
     [] {
       return TestKeys().ec.Token({{"kid", "ec"}}, Claims());
     },
     "algorithm"},
    {"alg is a list", [] { return TestKeys().ec.TokenOf(R"({"alg":["ES256"]})", Claims().dump()); }, "algorithm"},
    {"public key as secret", SignedWithThePublicKey, "algorithm"},
    {"alg of another key type",
     [] {
       return TestKeys().ec.Token({{"alg", "RS256"}, {"kid", "ec"}}, Claims());
     },
     "no key"},
    {"kid of another key type",
     [] {
       return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", "rsa"}}, Claims());
     },
     "no key"},
    {"unknown kid",
     [] {
       return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", "ec2"}}, Claims());
     },
     "no key"},
    {"kid is a number",
     [] {
       return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", 1}}, Claims());
     },
     "key id"},
    {"another's key",
     [] {
       return TestKeys().other.Token({{"alg", "ES256"}, {"kid", "ec"}}, Claims());
     },
     "signature"},
    {"a key of its own",
     [] {
       return TestKeys().other.Token({{"alg", "ES256"}, {"kid", "ec"}, {"jwk", TestKeys().other.Jwk()}}, Claims());
     },
     "signature"},
    {"PSS for PKCS1", [] { return TestKeys().rsa.TokenOf(R"({"alg":"RS256","kid":"rsa"})", Claims().dump(), true); },
     "signature"},
    {"no signature", [] { return OtherSignature(""); }, "signature"},
    {"zeros for r and s", [] { return OtherSignature(Base64Url(std::string(64, '\0'))); }, "signature"},
    {"signature too short", [] { return OtherSignature(Base64Url(std::string(63, '\1'))); }, "signature"},
    {"padding", [] { return Good() + "=="; }, "signature"},
    {"another spelling", OtherSpelling, "signature"},
    {"crit",
     [] {
       return TestKeys().ec.Token({{"alg", "ES256"}, {"kid", "ec"}, {"crit", {"exp"}}}, Claims());
     },
     "crit"},
    {"a key twice in the header",
     [] { return TestKeys().ec.TokenOf(R"({"alg":"ES256","alg":"ES256","kid":"ec"})", Claims().dump()); }, "header"},
    {"a key twice in the claims",
     [] {
       std::string claims = Claims().dump();
       claims.insert(1, R"("tenant":"team-b",)");
       return TestKeys().ec.TokenOf(R"({"alg":"ES256","kid":"ec"})", claims);
     },
     "claims"},
    {"header is no JSON", [] { return TestKeys().ec.TokenOf("alg=ES256", Claims().dump()); }, "header"},
    {"claims are a list", [] { return TestKeys().ec.TokenOf(R"({"alg":"ES256","kid":"ec"})", "[]"); }, "claims"},
    {"no exp", [] { return Without("exp"); }, "exp"},
    {"exp is a text", [] { return With("exp", "never"); }, "exp"},
    {"exp beyond all clocks", [] { return With("exp", 1e300); }, "exp"},
    {"nbf ahead", [] { return With("nbf", kNow + 61); }, "nbf"},
    {"nbf is a text", [] { return With("nbf", "now"); }, "nbf"},
    {"no iss", [] { return Without("iss"); }, "issuer"},
    {"another iss", [] { return With("iss", "https://issuer.evil"); }, "issuer"},
    {"no aud", [] { return Without("aud"); }, "audience"},
    {"another aud", [] { return With("aud", "nashswarm2"); }, "audience"},
    {"a list without us",
     [] {
       return With("aud", {"a", "b"});
     },
     "audience"},
    {"no tenant", [] { return Without("tenant"); }, "tenant"},
    {"a tenant with a slash", [] { return With("tenant", "../team-b"); }, "tenant"},
    {"tenant is a list", [] { return With("tenant", {"team-a"}); }, "tenant"},
    {"too long", [] { return With("padding", std::string(9000, 'x')); }, "too long"},
};

TEST(JwtTest, EveryAttackIsRefusedAndNothingOfTheTokenIsSaid) {
  for (const Attack& attack : kAttacks) {
    const auto caller = Verify(attack.token());
    ASSERT_FALSE(caller.ok()) << attack.name;
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated) << attack.name;
    EXPECT_EQ(ReasonOf(caller.status()), "BAD_TOKEN") << attack.name;
    EXPECT_THAT(MessageOf(caller), HasSubstr(attack.refusal)) << attack.name;
    EXPECT_THAT(MessageOf(caller), ::testing::Not(HasSubstr("team-b"))) << attack.name;
  }
}

TEST(JwtTest, ClocksMayBeAMinuteApart) {
  EXPECT_TRUE(Verify(With("exp", kNow - 59)).ok());
  const auto expired = Verify(With("exp", kNow - 60));
  EXPECT_EQ(ReasonOf(expired.status()), "TOKEN_EXPIRED");
  EXPECT_TRUE(Verify(With("nbf", kNow + 60)).ok());
  EXPECT_TRUE(Verify(With("exp", kNow + 0.5)).ok());
}

TEST(JwtTest, TheAudienceMayBeOneOfMany) { EXPECT_TRUE(Verify(With("aud", {"other", "nashswarm"})).ok()); }

TEST(JwksTest, WhatIsNoKeyOfOursIsLeftOutAndWhatShouldWorkMustWork) {
  const json ec = TestKeys().ec.Jwk("ec"), rsa = TestKeys().rsa.Jwk("rsa");
  const auto with = [](json jwk, const char* member, const json& value) {
    jwk[member] = value;
    return jwk;
  };
  const auto parse = [](const std::vector<json>& keys) { return KeySet::Parse(KeySetOf(keys), "keys.json"); };
  EXPECT_EQ(parse({ec, with(rsa, "use", "enc"), {{"kty", "EC"}, {"crv", "P-521"}}})->keys().size(), 1u);
  EXPECT_EQ(parse({ec, with(rsa, "key_ops", {"encrypt"})})->keys().size(), 1u);
  EXPECT_EQ(parse({ec, with(rsa, "key_ops", {"verify"})})->keys().size(), 2u);
  const std::map<std::string, absl::Status> bad = {{"none", parse({}).status()},
                                                   {"weak", parse({SigningKey::Rsa(1024).Jwk("weak")}).status()},
                                                   {"not on the curve", parse({with(ec, "y", rsa["e"])}).status()},
                                                   {"not on the curve 2", parse({with(ec, "y", ec["x"])}).status()},
                                                   {"private", parse({with(ec, "d", "AQAB")}).status()},
                                                   {"secret", parse({ec, {{"kty", "oct"}, {"k", "AQAB"}}}).status()},
                                                   {"twice", parse({ec, ec}).status()},
                                                   {"no list", KeySet::Parse("{}", "keys.json").status()},
                                                   {"kid", parse({with(ec, "kid", 1)}).status()}};
  for (const auto& [name, status] : bad) EXPECT_EQ(ReasonOf(status), "JWKS_INVALID") << name << status;
  // A key for one algorithm alone.
  const KeySet only_pss = *parse({with(rsa, "alg", "PS256")});
  EXPECT_NE(only_pss.Find("rsa", JwtAlgorithm::kPs256), nullptr);
  EXPECT_EQ(only_pss.Find("rsa", JwtAlgorithm::kRs256), nullptr);
  // Without an id there must be no choice.
  const KeySet two = *parse({ec, TestKeys().other.Jwk("other")});
  EXPECT_EQ(two.Find("", JwtAlgorithm::kEs256), nullptr);
}

TEST(Base64UrlTest, OneSpellingForEachText) {
  for (const std::string& bytes : std::vector<std::string>{"", "f", "fo", "foo", "foob", "\xff\xfe\xfd"}) {
    EXPECT_EQ(EncodeBase64Url(bytes), Base64Url(bytes));
    EXPECT_EQ(DecodeBase64Url(EncodeBase64Url(bytes)), bytes);
  }
  for (const char* bad : {"A", "AAAAA", "Zg==", "Zh", "Z+8", "Z/8", "Zg\n", " Zg", "Z g"}) {
    EXPECT_FALSE(DecodeBase64Url(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace nashswarm::server
