#include "server/config/config.h"

#include <map>

#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ParsedCommandLine Parse(const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& environment = {}) {
  return ParseCommandLine(arguments, [&](const char* name) -> const char* {
    const auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  });
}

TEST(ConfigTest, FlagsWinOverEnvironmentWinsOverFile) {
  const TemporaryDirectory directory = *TemporaryDirectory::Create();
  const std::string file = directory.path() + "/nashswarmd.toml";
  ASSERT_TRUE(WriteFileDurably(file, "data = \"/file\"\nworkers = 3\nlease = \"90s\"\nmax-file = \"2MiB\"\n").ok());
  const std::map<std::string, std::string> environment = {{"NASHSWARM_WORKERS", "5"}, {"NASHSWARM_LEASE", "80s"}};
  const auto parsed = Parse({"--config", file, "--lease", "70s"}, environment);
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.config.data, "/file");
  EXPECT_EQ(parsed.config.workers, 5);
  EXPECT_EQ(parsed.config.limits.lease, std::chrono::seconds(70));
  EXPECT_EQ(parsed.config.limits.max_file_bytes, 2 << 20);
}

TEST(ConfigTest, EnvironmentAloneIsEnough) {
  const auto parsed = Parse({}, {{"NASHSWARM_DATA", "/d"}, {"NASHSWARM_INSECURE_LISTEN_ANYWHERE", "true"},
                                 {"NASHSWARM_LISTEN", "0.0.0.0:1"}});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_TRUE(parsed.config.insecure_listen_anywhere);
}

TEST(ConfigTest, ADatabasePasswordIsNoFlag) {
  for (const char* url :
       {"postgres://me:hunter2@host/db", "postgresql://me:hunter2@host", "postgres://me:hunter2/@host/db",
        "postgres://host/db?user=me&password=hunter2", "postgres://me@host/db?sslpassword=hunter2"}) {
    for (const std::vector<std::string>& flag : std::vector<std::vector<std::string>>{
             {std::string("--jobs=") + url}, {"--jobs", url}}) {
      std::vector<std::string> all = {"--data=/d"};
      all.insert(all.end(), flag.begin(), flag.end());
      const auto parsed = Parse(all);
      EXPECT_FALSE(parsed.run) << url;
      EXPECT_EQ(parsed.exit_status, 2);
      EXPECT_THAT(parsed.text, HasSubstr("PGPASSFILE"));
      EXPECT_THAT(parsed.text, Not(HasSubstr("hunter2")));
    }
    EXPECT_EQ(Parse({"--data=/d"}, {{"NASHSWARM_JOBS", url}}).config.jobs, url);
  }
  for (const char* url : {"postgres://me@host:5432/db", "postgres://host/db?passfile=/f", "postgres:///db?host=/run/p",
                          "postgres://me@[::1]:5432/db", "sqlite:/a:b@c"}) {
    EXPECT_TRUE(Parse({"--data=/d", std::string("--jobs=") + url}).run) << url;
  }
}

TEST(ConfigTest, OpenAddressesNeedTheFlagThatSaysSo) {
  for (const char* open : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "127.evil.org:1", ":1"}) {
    const auto parsed = Parse({"--data=/d", std::string("--listen=") + open});
    EXPECT_FALSE(parsed.run) << open;
    EXPECT_EQ(parsed.exit_status, 2);
    EXPECT_THAT(parsed.text, HasSubstr("--insecure-listen-anywhere"));
    EXPECT_TRUE(Parse({"--data=/d", std::string("--listen=") + open, "--insecure-listen-anywhere"}).run) << open;
  }
  for (const char* local : {"127.0.0.1:0", "127.1.2.3:4", "localhost:1", "[::1]:1", "unix:/tmp/s"}) {
    EXPECT_TRUE(Parse({"--data=/d", std::string("--listen=") + local}).run) << local;
  }
}

TEST(ConfigTest, TlsOnAnOpenAddressNeedsToKnowWhoCalls) {
  const std::vector<std::string> tls = {"--data=/d", "--listen=0.0.0.0:1", "--tls-cert=c", "--tls-key=k"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = tls;
    all.insert(all.end(), more.begin(), more.end());
    return Parse(all);
  };
  EXPECT_FALSE(with({}).run);
  EXPECT_THAT(with({}).text, HasSubstr("--allow-anonymous"));
  EXPECT_FALSE(with({"--insecure-listen-anywhere"}).run) << "that is about encryption";
  EXPECT_TRUE(with({"--allow-anonymous"}).run);
  EXPECT_TRUE(with({"--tokens=t"}).run);
  EXPECT_TRUE(with({"--tls-client-ca=a"}).run);
  EXPECT_TRUE(with({"--tls-client-ca=a"}).config.access.client_certificates);
  EXPECT_TRUE(with({"--jwks=j", "--jwt-issuer=i", "--jwt-audience=a"}).run);
  EXPECT_FALSE(Parse({"--data=/d", "--listen=0.0.0.0:1", "--tokens=t"}).run) << "tokens for all to read";
  EXPECT_FALSE(Parse({"--data=/d", "--listen=0.0.0.0:1", "--allow-anonymous"}).run);
  EXPECT_TRUE(Parse({"--data=/d", "--tls-cert=c", "--tls-key=k"}).run) << "this machine alone";
}

TEST(ConfigTest, AccessFlagsGoTogether) {
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"--tls-cert=c"},
           {"--tls-key=k"},
           {"--tls-client-ca=a"},
           {"--tls-cert=c", "--tls-key=k", "--tls-tenant-from=cn"},
           {"--tls-cert=c", "--tls-key=k", "--tls-client-ca=a", "--tls-tenant-from=mail"},
           {"--jwks=j"},
           {"--jwks=j", "--jwt-issuer=i"},
           {"--jwks=j", "--jwt-audience=a"},
           {"--jwks=j", "--jwt-issuer=i", "--jwt-audience=a", "--jwt-tenant-claim="},
           {"--jwt-issuer=i", "--jwt-audience=a"},
           {"--min-upload-rate=-1"},
           {"--max-connections=-1"}}) {
    std::vector<std::string> all = {"--data=/d"};
    all.insert(all.end(), bad.begin(), bad.end());
    EXPECT_EQ(Parse(all).exit_status, 2) << ::testing::PrintToString(bad);
  }
  const auto parsed = Parse({"--data=/d", "--tls-cert=c", "--tls-key=k", "--tls-client-ca=a", "--tls-tenant-from=san-uri"},
                            {{"NASHSWARM_TOKENS", "t"}});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.config.access.tenant_from, TenantFrom::kSanUri);
  EXPECT_EQ(parsed.config.access.tokens, "t");
  EXPECT_FALSE(parsed.config.reflection);
}

TEST(ConfigTest, MistakesAreUsageErrors) {
  EXPECT_EQ(Parse({}).exit_status, 2);
  EXPECT_EQ(Parse({"--data=/d", "--lease=soon"}).exit_status, 2);
  EXPECT_EQ(Parse({"--data=/d", "--heartbeat=50s"}).exit_status, 2);
  EXPECT_EQ(Parse({"--data=/d", "--workers=-1"}).exit_status, 2);
  EXPECT_EQ(Parse({"--data=/d", "--surprise"}).exit_status, 2);
  EXPECT_EQ(Parse({"--help"}).exit_status, 0);
  EXPECT_THAT(Parse({"--help"}).text, HasSubstr("--insecure-listen-anywhere"));
  EXPECT_THAT(Parse({"--version"}).text, HasSubstr("nashswarmd"));
}

}  // namespace
}  // namespace nashswarm::server
