#include <sys/stat.h>

#include <fstream>
#include <map>
#include <sstream>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/access.h"
#include "server/auth/tls_files.h"
#include "server/auth/token_command.h"
#include "tests/support/certificates.h"
#include "tests/support/signing.h"

namespace nashswarm::server {
namespace {

using nashswarm::testing::CertificateAuthority;
using nashswarm::testing::KeySetOf;
using nashswarm::testing::PemPair;
using nashswarm::testing::SigningKey;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class AccessTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = directory_.path() + "/" + name;
    EXPECT_TRUE(WriteFileDurably(path, content).ok());
    return path;
  }
  static std::string Line(const std::string& tenant, const std::string& token, const std::string& more = "") {
    return tenant + " someone sha256:" + ToHex(Sha256Of(token)) + " " + more + "\n";
  }
  std::unique_ptr<Access> Open(const AccessOptions& options) {
    auto access = Access::Open(options, [this] { return now_; });
    EXPECT_TRUE(access.ok()) << access.status();
    return *std::move(access);
  }
  static std::string ReasonFor(Access& access, const std::vector<std::string>& authorization,
                               const PeerCertificate& peer = {}) {
    return ReasonOf(access.Authenticate(authorization, peer).status());
  }

  const TemporaryDirectory directory_ = *TemporaryDirectory::Create();
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(AccessTest, WithoutSettingsEverybodyIsTheDefaultTenant) {
  const auto access = Open({});
  const auto caller = access->Authenticate({}, {});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->tenant, "default");
  EXPECT_TRUE(access->Authenticate({"Bearer whatever"}, {}).ok());
  EXPECT_EQ(access->QuotaOf("default").max_streams, TenantQuota::kUnlimited);
}

TEST_F(AccessTest, TokensNameTheCaller) {
  const auto access = Open({.tokens = Write("tokens", "# ours\n\n" + Line("team-a", "secret-a", "admin") +
                                                          Line("team-b", "secret-b", "expires=2020-01-01T00:00:00Z") +
                                                          Line("team-c", "secret-c", "expires=2999-01-01T00:00:00Z"))});
  const auto caller = access->Authenticate({"Bearer secret-a"}, {});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->tenant, "team-a");
  EXPECT_EQ(caller->subject, "someone");
  EXPECT_TRUE(caller->admin);
  EXPECT_FALSE(access->Authenticate({"bearer  secret-c "}, {})->admin);
  EXPECT_EQ(ReasonFor(*access, {}), "NO_TOKEN");
  EXPECT_EQ(ReasonFor(*access, {"Bearer "}), "NO_TOKEN");
  EXPECT_EQ(ReasonFor(*access, {"Bearer secret-b"}), "TOKEN_EXPIRED");
  for (const char* bad : {"Bearer secret-", "Bearer secret-a2", "Bearer SECRET-A", "Basic secret-a", "secret-a", ""}) {
    EXPECT_EQ(ReasonFor(*access, {bad}), "BAD_TOKEN") << bad;
  }
  EXPECT_EQ(ReasonFor(*access, {"Bearer secret-a", "Bearer secret-c"}), "BAD_TOKEN") << "whose would it be?";
}

TEST_F(AccessTest, ATokenFileIsStrict) {
  const std::string hash = "sha256:" + std::string(64, 'a');
  for (const std::string& bad : std::vector<std::string>{
           "team-a", "team-a me", "team-a me " + hash.substr(0, 70), "team-a me sha256:" + std::string(64, 'g'),
           "team-a me md5:" + std::string(64, 'a'), "te/am me " + hash, "team-a me " + hash + " expires=tomorrow",
           "team-a me " + hash + " expires=infinite-future", "team-a me " + hash + " adminn",
           "team-a me " + hash + " admin admin", "team-a me " + hash + "\nteam-b me " + hash}) {
    const auto parsed = TokenSet::Parse(bad + "\n", "tokens");
    EXPECT_EQ(ReasonOf(parsed.status()), "TOKENS_INVALID") << bad;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("tokens, line")) << bad;
    EXPECT_THAT(std::string(parsed.status().message()), Not(HasSubstr(std::string(64, 'a')))) << bad;
  }
  EXPECT_EQ(TokenSet::Parse("team-a me " + hash + "\r\n", "tokens")->size(), 1u);
}

TEST_F(AccessTest, FilesAreFollowedButABrokenOneChangesNothing) {
  const AccessOptions options{.tokens = Write("tokens", Line("team-a", "first")),
                              .tenants = Write("tenants", R"({"default": {"max_streams": 3}})")};
  const auto access = Open(options);
  EXPECT_TRUE(access->Authenticate({"Bearer first"}, {}).ok());
  Write("tokens", Line("team-a", "second"));
  EXPECT_TRUE(access->Authenticate({"Bearer first"}, {}).ok()) << "not every call looks at the file";
  now_ += kFilePollInterval;
  EXPECT_EQ(ReasonFor(*access, {"Bearer first"}), "BAD_TOKEN");
  EXPECT_TRUE(access->Authenticate({"Bearer second"}, {}).ok());

  Write("tokens", "nonsense\n");
  Write("tenants", "{");
  now_ += kFilePollInterval;
  EXPECT_TRUE(access->Authenticate({"Bearer second"}, {}).ok());
  EXPECT_EQ(access->QuotaOf("any").max_streams, 3);
  unlink(options.tokens.c_str());
  now_ += kFilePollInterval;
  EXPECT_TRUE(access->Authenticate({"Bearer second"}, {}).ok());
  Write("tokens", "");
  Write("tenants", R"({"default": {"max_streams": 4}})");
  now_ += kFilePollInterval;
  EXPECT_EQ(ReasonFor(*access, {"Bearer second"}), "BAD_TOKEN") << "an empty file lets in nobody";
  EXPECT_EQ(access->QuotaOf("any").max_streams, 4);
}

TEST_F(AccessTest, ABadFileAtTheStartIsAnError) {
  EXPECT_EQ(ReasonOf(Access::Open({.tokens = Write("t", "nonsense")}).status()), "TOKENS_INVALID");
  EXPECT_EQ(ReasonOf(Access::Open({.tokens = directory_.path() + "/none"}).status()), "FILE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Access::Open({.jwks = Write("k", "{}")}).status()), "JWKS_INVALID");
  EXPECT_EQ(ReasonOf(Access::Open({.tenants = Write("q", "[]")}).status()), "TENANTS_INVALID");
}

TEST_F(AccessTest, TokensOfTheFileAndOfTheIssuerLiveSideBySide) {
  const SigningKey key = SigningKey::Ed25519(), next = SigningKey::Ed25519();
  const AccessOptions options{
      .tokens = Write("tokens", Line("team-a", "to.ke.n") + Line("team-a", "o.l.d", "expires=2020-01-01T00:00:00Z")),
      .jwks = Write("jwks", KeySetOf({key.Jwk("1")})),
      .jwt = {.issuer = "i", .audience = "a", .tenant_claim = "org"}};
  const auto access = Open(options);
  const nlohmann::json claims = {{"iss", "i"}, {"aud", "a"}, {"exp", 32503680000}, {"org", "team-b"}};
  const std::string jwt = "Bearer " + key.Token({{"alg", "EdDSA"}, {"kid", "1"}}, claims);
  const std::string next_jwt = "Bearer " + next.Token({{"alg", "EdDSA"}, {"kid", "2"}}, claims);
  EXPECT_EQ(access->Authenticate({jwt}, {})->tenant, "team-b");
  EXPECT_EQ(access->Authenticate({"Bearer to.ke.n"}, {})->tenant, "team-a");
  EXPECT_EQ(ReasonFor(*access, {"Bearer o.l.d"}), "TOKEN_EXPIRED");
  EXPECT_EQ(ReasonFor(*access, {"Bearer nobody"}), "BAD_TOKEN");
  EXPECT_EQ(ReasonFor(*access, {next_jwt}), "BAD_TOKEN");
  Write("jwks", KeySetOf({next.Jwk("2")}));
  now_ += kFilePollInterval;
  EXPECT_TRUE(access->Authenticate({next_jwt}, {}).ok());
  EXPECT_EQ(ReasonFor(*access, {jwt}), "BAD_TOKEN");
}

TEST_F(AccessTest, CertificatesMayNameTheTenant) {
  const PeerCertificate peer{.verified = true, .common_name = "team-a", .uris = {"spiffe://example.org/t/team-b"}};
  EXPECT_EQ(ReasonFor(*Open({.client_certificates = true}), {}), "NO_CERTIFICATE");
  EXPECT_EQ(Open({.client_certificates = true})->Authenticate({}, peer)->tenant, "default");
  const AccessOptions by_name{.client_certificates = true, .tenant_from = TenantFrom::kCommonName};
  const AccessOptions by_uri{.client_certificates = true, .tenant_from = TenantFrom::kSanUri};
  EXPECT_EQ(Open(by_name)->Authenticate({}, peer)->tenant, "team-a");
  EXPECT_EQ(Open(by_uri)->Authenticate({}, peer)->tenant, "team-b");
  PeerCertificate odd = peer;
  odd.common_name = "CN with spaces";
  odd.uris.push_back("spiffe://example.org/t/team-c");
  EXPECT_EQ(ReasonFor(*Open(by_name), {}, odd), "CERTIFICATE_WITHOUT_TENANT");
  EXPECT_EQ(ReasonFor(*Open(by_uri), {}, odd), "CERTIFICATE_WITHOUT_TENANT");
  EXPECT_EQ(Open(by_name)->Authenticate({}, odd).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(AccessTest, WhereBothAreWantedBothMustBeGoodAndAgree) {
  AccessOptions options{.tokens = Write("tokens", Line("team-a", "a") + Line("team-b", "b")),
                        .client_certificates = true};
  const PeerCertificate peer{.verified = true, .common_name = "team-a"};
  EXPECT_EQ(ReasonFor(*Open(options), {"Bearer a"}), "NO_CERTIFICATE");
  EXPECT_EQ(ReasonFor(*Open(options), {}, peer), "NO_TOKEN");
  EXPECT_EQ(Open(options)->Authenticate({"Bearer b"}, peer)->tenant, "team-b");
  options.tenant_from = TenantFrom::kCommonName;
  EXPECT_EQ(ReasonFor(*Open(options), {"Bearer b"}, peer), "TENANT_MISMATCH");
  EXPECT_EQ(Open(options)->Authenticate({"Bearer a"}, peer)->tenant, "team-a");
}

TEST(TenantsTest, LimitsAreTheDefaultsUnlessNamed) {
  const auto quotas = TenantQuotas::Parse(
      R"({"default": {"max_streams": 3, "max_queued_jobs": 7},
          "tenants": {"team-a": {"max_stored_bytes": 1000, "max_streams": 5}, "team-b": {"max_running_jobs": 1}}})",
      "tenants");
  ASSERT_TRUE(quotas.ok()) << quotas.status();
  EXPECT_EQ(quotas->Of("team-a").max_streams, 5);
  EXPECT_EQ(quotas->Of("team-a").max_stored_bytes, 1000);
  EXPECT_EQ(quotas->Of("team-a").max_queued_jobs, 7);
  EXPECT_EQ(quotas->Of("team-a").max_running_jobs, TenantQuota::kUnlimited);
  EXPECT_EQ(quotas->Of("team-b").max_running_jobs, 1);
  EXPECT_EQ(quotas->Of("other").max_streams, 3);
  for (const char* bad :
       {"[]", R"({"defaults": {}})", R"({"default": {"max_stream": 1}})", R"({"default": {"max_streams": -1}})",
        R"({"default": {"max_queued_jobs": 0}})",
        R"({"default": {"max_streams": 1.5}})", R"({"default": {"max_streams": "1"}})",
        R"({"default": {"max_streams": 18446744073709551615}})", R"({"tenants": []})", R"({"tenants": {"a/b": {}}})",
        R"({"tenants": {"a": 1}})"}) {
    EXPECT_EQ(ReasonOf(TenantQuotas::Parse(bad, "tenants").status()), "TENANTS_INVALID") << bad;
  }
  EXPECT_EQ(ReasonOf(TenantQuotas::Parse(R"({"tenants": {"a": {}, "a": {}}})", "tenants").status()),
            "JSON_DUPLICATE_KEY");
}

TEST_F(AccessTest, TheTokenCommandMakesWhatTheFileUnderstands) {
  const std::string file = directory_.path() + "/new-tokens";
  std::ofstream(file) << "# no newline at its end";
  std::ostringstream out, err;
  ASSERT_EQ(RunTokenCommand({"--tenant", "team-a", "--subject", "me", "--expires", "1h", "--append", file}, out, err),
            0)
      << err.str();
  EXPECT_THAT(out.str(), MatchesRegex("nsw_[A-Za-z0-9_-]{43}\n"));
  EXPECT_EQ(err.str(), "");
  std::ostringstream out2, err2;
  ASSERT_EQ(RunTokenCommand({"--tenant", "team-b", "--subject", "me", "--admin"}, out2, err2), 0);
  EXPECT_NE(out.str(), out2.str());
  EXPECT_THAT(err2.str(), Not(HasSubstr(out2.str().substr(4, 43))));
  std::ofstream(file, std::ios::app) << err2.str().substr(err2.str().find('\n') + 1);
  const auto access = Open({.tokens = file});
  EXPECT_EQ(access->Authenticate({"Bearer " + out.str()}, {})->tenant, "team-a");
  EXPECT_TRUE(access->Authenticate({"Bearer " + out2.str()}, {})->admin);

  std::ostringstream ignored;
  EXPECT_EQ(RunTokenCommand({"--tenant", "a b", "--subject", "me"}, ignored, ignored), 2);
  EXPECT_EQ(RunTokenCommand({"--tenant", "a", "--subject", "me", "--expires", "soon"}, ignored, ignored), 2);
  EXPECT_EQ(RunTokenCommand({"--tenant", "a"}, ignored, ignored), 2);
  const std::string fresh = directory_.path() + "/fresh";
  EXPECT_EQ(RunTokenCommand({"--tenant", "a", "--subject", "me", "--append", fresh}, ignored, ignored), 0);
  struct stat info;
  ASSERT_EQ(stat(fresh.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(AccessTest, CertificatesAreTakenWhenTheyAreWholeAndFit) {
  const CertificateAuthority ca("CA");
  const PemPair first = ca.Issue("one", ""), second = ca.Issue("two", "");
  const TlsOptions options{Write("cert", first.certificate), Write("key", first.key), Write("ca", ca.pem())};
  auto opened = TlsFiles::Open(options, [this] { return now_; });
  ASSERT_TRUE(opened.ok()) << opened.status();
  TlsFiles& files = **opened;
  EXPECT_EQ(files.TakeNews()->certificate, first.certificate);
  now_ += kFilePollInterval;
  EXPECT_FALSE(files.TakeNews().has_value());
  Write("cert", second.certificate);
  now_ += kFilePollInterval;
  EXPECT_FALSE(files.TakeNews().has_value()) << "the key is still the old one";
  Write("key", second.key);
  EXPECT_FALSE(files.TakeNews().has_value()) << "not every handshake looks";
  now_ += kFilePollInterval;
  const auto news = files.TakeNews();
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->certificate, second.certificate);
  EXPECT_EQ(news->key, second.key);
  Write("ca", "not a certificate");
  now_ += kFilePollInterval;
  EXPECT_FALSE(files.TakeNews().has_value());

  EXPECT_EQ(ReasonOf(ReadTlsMaterial({options.certificate, Write("k", first.key), ""}).status()), "TLS_INVALID");
  EXPECT_EQ(ReasonOf(ReadTlsMaterial({options.certificate, Write("k", "x"), ""}).status()), "TLS_INVALID");
  EXPECT_EQ(ReasonOf(ReadTlsMaterial({Write("c", ""), options.key, ""}).status()), "TLS_INVALID");
}

}  // namespace
}  // namespace nashswarm::server
