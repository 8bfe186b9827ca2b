#include "client/cli/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/errors.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::Each;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

TEST(AccessTest, SchemesAndFlagsSayWhetherThereIsTls) {
  for (const char* address : {"https://host:1", "grpcs://host:1", "https://host:1/"}) {
    EXPECT_EQ(ResolveAddress(address, {})->target, "host:1") << address;
    EXPECT_TRUE(ResolveAddress(address, {})->tls) << address;
    EXPECT_TRUE(ResolveAddress(address, {.tls = true})->tls) << address;
  }
  for (const char* address : {"http://host:1", "grpc://host:1", "host:1"}) {
    EXPECT_EQ(ResolveAddress(address, {})->target, "host:1") << address;
    EXPECT_FALSE(ResolveAddress(address, {})->tls) << address;
  }
  EXPECT_TRUE(ResolveAddress("host:1", {.tls = true})->tls);
  EXPECT_EQ(ExitCodeOf(ResolveAddress("http://host:1", {.tls = true}).status()), kExitUsage);
}

TEST(AccessTest, ATokenIsNotSentForAllToRead) {
  for (const char* address : {"host:1", "http://10.0.0.1:1", "127.evil.example:1", "[::2]:1", "localhost.evil:1"}) {
    const auto refused = ResolveAddress(address, {.token = "secret"});
    EXPECT_EQ(ExitCodeOf(refused.status()), kExitUsage) << address;
    EXPECT_THAT(HintOf(refused.status()), HasSubstr("--send-token-unencrypted")) << address;
    EXPECT_FALSE(ResolveAddress(address, {.token_file = "f"}).ok()) << address;
    EXPECT_TRUE(ResolveAddress(address, {.token = "secret", .send_token_unencrypted = true}).ok()) << address;
  }
  for (const char* address : {"https://host:1", "127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/s"}) {
    EXPECT_TRUE(ResolveAddress(address, {.token = "secret"}).ok()) << address;
  }
}

TEST(AccessTest, FilesOfTlsGoTogether) {
  const TemporaryDirectory directory;
  directory.Write("pem", "-----BEGIN CERTIFICATE-----\n");
  directory.Write("text", "hello");
  const ServerAddress tls = {.target = "host:1", .tls = true};
  EXPECT_TRUE(MakeCredentials(tls, {}).ok());
  EXPECT_TRUE(MakeCredentials(tls, {.ca = directory / "pem"}).ok());
  EXPECT_EQ(ExitCodeOf(MakeCredentials({.target = "host:1"}, {.ca = directory / "pem"}).status()), kExitUsage);
  EXPECT_EQ(ExitCodeOf(MakeCredentials(tls, {.certificate = directory / "pem"}).status()), kExitUsage);
  EXPECT_EQ(ReasonOf(MakeCredentials(tls, {.ca = directory / "text"}).status()), "NOT_PEM");
  EXPECT_EQ(ReasonOf(MakeCredentials(tls, {.ca = directory / "none"}).status()), "FILE_NOT_FOUND");
}

TEST(AccessTest, TheTokenFileIsReadEachTime) {
  const TemporaryDirectory directory;
  const AccessFlags flags = {.token_file = directory / "token", .token = "of the environment"};
  directory.Write("token", "first\n");
  EXPECT_EQ(*CurrentToken(flags), "first");
  directory.Write("token", " second\r\n\n");
  EXPECT_EQ(*CurrentToken(flags), "second");
  for (const char* bad : {"", "\n", "two words", "with\nlines", "\x01"}) {
    directory.Write("token", bad);
    EXPECT_EQ(ExitCodeOf(CurrentToken(flags).status()), kExitAuth) << bad;
  }
  EXPECT_EQ(*CurrentToken({}), "");
  EXPECT_EQ(*CurrentToken({.token = "secret\n"}), "secret");
}

TEST(AccessTest, TlsFailuresSayWhatIsWrong) {
  const auto reason = [](const char* message) { return ReasonOf(ExplainTls("host:1", true, message)); };
  EXPECT_EQ(reason("Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed"),
            "TLS_UNTRUSTED");
  EXPECT_EQ(reason("Peer name host is not in peer certificate"), "TLS_WRONG_NAME");
  EXPECT_EQ(reason("Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::wrong version number"),
            "TLS_NOT_SPOKEN");
  EXPECT_EQ(reason("error:0A00045C:SSL routines::tlsv13 alert certificate required"), "TLS_CERTIFICATE_REFUSED");
  EXPECT_EQ(reason("Ssl handshake failed: something new"), "TLS_FAILED");
  EXPECT_EQ(reason("UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed"), "TLS_FAILED");
  EXPECT_EQ(reason("Connection refused"), "");
  EXPECT_TRUE(ExplainTls("host:1", false, "Socket closed").ok()) << "that happens without TLS too";
}

class TokenTest : public testing::Test {
 protected:
  TokenTest() { directory_.Write("token", "of-a-file"); }
  RunResult Info(std::vector<std::string> flags, std::map<std::string, std::string> environment = {}) {
    environment["NASHSWARM_SERVER"] = server_.address;
    flags.insert(flags.begin(), {"server", "info"});
    return RunCli(flags, environment);
  }
  std::string LastShown() { return server_.calls.empty() ? "no call" : server_.calls.back().authorization; }

  FakeServer server_;
  TemporaryDirectory directory_;
};

TEST_F(TokenTest, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  directory_.Write("config.toml", "token-file = \"" + (directory_ / "token") + "\"\n");
  const std::string config = "--config=" + (directory_ / "config.toml");
  ASSERT_EQ(Info({}).exit_code, 0);
  EXPECT_EQ(LastShown(), "");
  ASSERT_EQ(Info({config}).exit_code, 0);
  EXPECT_EQ(LastShown(), "Bearer of-a-file");
  ASSERT_EQ(Info({config}, {{"NASHSWARM_TOKEN", "secret"}}).exit_code, 0);
  EXPECT_EQ(LastShown(), "Bearer secret");
  ASSERT_EQ(Info({"--token-file", directory_ / "token"}, {{"NASHSWARM_TOKEN", "secret"}}).exit_code, 0);
  EXPECT_EQ(LastShown(), "Bearer of-a-file");
}

TEST_F(TokenTest, EveryCallShowsTheToken) {
  directory_.Write("model/config.json", "{}");
  directory_.Write("model/model.safetensors", SomeBytes(3000));
  v1::JobEvent event;
  event.set_sequence(1);
  event.mutable_snapshot()->set_name("jobs/j");
  event.mutable_snapshot()->set_state(v1::Job::SUCCEEDED);
  event.mutable_snapshot()->mutable_result()->set_artifact("artifacts/a");
  server_.state.watches = {{event}};
  server_.state.jobs["jobs/j"] = event.snapshot();
  server_.AddArtifact("a", {{"model.gguf", "GGUF"}});
  const RunResult r = RunCli({"compress", directory_ / "model", "-o", directory_ / "out", "--bpw", "4.5"},
                             {{"NASHSWARM_SERVER", server_.address}, {"NASHSWARM_TOKEN", "secret"}});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_THAT(server_.calls, Each(Field("authorization", &SeenMetadata::Call::authorization, "Bearer secret")));
  for (const char* method : {"GetServerInfo", "WriteFile", "WatchJob", "ReadFile"}) {
    EXPECT_THAT(server_.calls, testing::Contains(Field(&SeenMetadata::Call::method, HasSubstr(method))));
  }
}

TEST_F(TokenTest, ATokenOnTheCommandLineIsRefusedAndNotRepeated) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--token", "secret-value"}, {"--token=secret-value"}}) {
    const RunResult r = Info(flags);
    EXPECT_EQ(r.exit_code, kExitUsage);
    EXPECT_THAT(r.err, HasSubstr("--token-file"));
    EXPECT_THAT(r.err + r.out, Not(HasSubstr("secret-value")));
    EXPECT_TRUE(server_.calls.empty());
  }
}

TEST_F(TokenTest, ARefusalIsNotTriedAgain) {
  for (const auto code : {grpc::StatusCode::UNAUTHENTICATED, grpc::StatusCode::PERMISSION_DENIED}) {
    server_.calls.clear();
    server_.state.next_error = {code, "no"};
    const RunResult r = Info({});
    EXPECT_EQ(r.exit_code, kExitAuth);
    EXPECT_EQ(server_.calls.size(), 1u);
    EXPECT_EQ(r.err.find("NASHSWARM_TOKEN") != std::string::npos, code == grpc::StatusCode::UNAUTHENTICATED) << r.err;
  }
}

}  // namespace
}  // namespace nashswarm::cli
