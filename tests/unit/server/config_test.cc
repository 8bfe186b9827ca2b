#include "server/config/config.h"

#include <map>

#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;

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
