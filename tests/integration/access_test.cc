// Who may call a real nashswarmd: tokens, signed tokens, quotas, and what is never written down.
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/base/hash.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/any_method.h"
#include "tests/integration/server_harness.h"
#include "tests/support/signing.h"

namespace nashswarm::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "nsw_a-secret-nobody-may-see";

std::string Line(const std::string& tenant, const std::string& token, const std::string& more = "") {
  return tenant + " someone sha256:" + ToHex(RawSha256(token)) + " " + more + "\n";
}

void Write(const std::string& path, const std::string& content) {
  std::ofstream(path + ".new") << content;
  ASSERT_EQ(rename((path + ".new").c_str(), path.c_str()), 0);
}

std::string Content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

grpc::Status Info(ServerHarness& server, const std::string& token) {
  const std::string authorization = token.empty() ? "" : "Bearer " + token;
  return CallByName(server.channel(), "/nashswarm.v1.InfoService/GetServerInfo", "", authorization);
}

TEST(AccessTest, EveryMethodAsksWhoCallsBeforeItLooksAtAnything) {
  ServerHarness server;
  Write(server.root() + "/tokens", Line("team-a", kToken));
  server.Start({"--tokens=" + server.root() + "/tokens", "--max-streams=1"});
  ASSERT_GE(AllMethods().size(), 20u);
  for (const auto* descriptor : AllMethods()) {
    const std::string method = PathOf(*descriptor);
    const grpc::Status without = CallByName(server.channel(), method);
    EXPECT_EQ(without.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method << without.error_message();
    EXPECT_EQ(ReasonOf(without), "NO_TOKEN") << method;
    EXPECT_EQ(ReasonOf(CallByName(server.channel(), method, "", "Bearer guess")), "BAD_TOKEN") << method;
    const grpc::StatusCode with =
        CallByName(server.channel(), method, "", std::string("Bearer ") + kToken).error_code();
    EXPECT_NE(with, grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_NE(with, grpc::StatusCode::UNIMPLEMENTED) << method;
  }
  EXPECT_TRUE(CallByName(server.channel(), "/grpc.health.v1.Health/Check").ok()) << "probes have no token";
  const std::string reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  EXPECT_EQ(CallByName(server.channel(), reflection).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(AccessTest, ReflectionIsThereForWhoeverMayAsk) {
  const std::string reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  ServerHarness open, told;
  open.Start();
  EXPECT_TRUE(CallByName(open.channel(), reflection).ok());
  Write(told.root() + "/tokens", Line("team-a", kToken));
  told.Start({"--tokens=" + told.root() + "/tokens", "--reflection"});
  EXPECT_TRUE(CallByName(told.channel(), reflection).ok());
}

TEST(AccessTest, AUnixSocketAsksToo) {
  ServerHarness server;
  Write(server.root() + "/tokens", Line("team-a", kToken));
  server.Start({"--tokens=" + server.root() + "/tokens", "--listen=unix:" + server.root() + "/socket"});
  EXPECT_EQ(ReasonOf(Info(server, "")), "NO_TOKEN");
  EXPECT_TRUE(Info(server, kToken).ok());
}

TEST(AccessTest, ARevokedTokenIsOfNoUseWithinTwoSeconds) {
  ServerHarness server;
  const std::string file = server.root() + "/tokens";
  Write(file, Line("team-a", kToken) + Line("team-a", "other") + Line("team-a", "old", "expires=2020-01-01T00:00:00Z"));
  server.Start({"--tokens=" + file});
  ASSERT_TRUE(Info(server, kToken).ok());
  EXPECT_EQ(ReasonOf(Info(server, "old")), "TOKEN_EXPIRED");
  Write(file, Line("team-a", "other"));
  EXPECT_TRUE(WaitFor([&] { return ReasonOf(Info(server, kToken)) == "BAD_TOKEN"; }, std::chrono::seconds(2)));
  EXPECT_TRUE(Info(server, "other").ok());

  Write(file, "what is this\n");
  ASSERT_TRUE(WaitFor([&] {
    EXPECT_TRUE(Info(server, "other").ok()) << "a broken file changes nothing";
    return server.log().find("TOKENS_INVALID") != std::string::npos;
  }));
  EXPECT_TRUE(Info(server, "other").ok());
}

TEST(AccessTest, SignedTokensOfTheIssuerAreAccepted) {
  ServerHarness server;
  const SigningKey key = SigningKey::P256(), stranger = SigningKey::P256();
  Write(server.root() + "/jwks", KeySetOf({key.Jwk("k")}));
  server.Start({"--jwks=" + server.root() + "/jwks", "--jwt-issuer=https://issuer", "--jwt-audience=nashswarm"});
  const int64_t now = std::time(nullptr);
  nlohmann::json claims = {{"iss", "https://issuer"}, {"aud", "nashswarm"}, {"tenant", "team-a"}, {"exp", now + 600}};
  const nlohmann::json header = {{"alg", "ES256"}, {"kid", "k"}};
  EXPECT_TRUE(Info(server, key.Token(header, claims)).ok());
  EXPECT_EQ(ReasonOf(Info(server, stranger.Token(header, claims))), "BAD_TOKEN");
  claims["exp"] = now - 61;
  EXPECT_EQ(ReasonOf(Info(server, key.Token(header, claims))), "TOKEN_EXPIRED");
  EXPECT_EQ(ReasonOf(Info(server, "")), "NO_TOKEN");
}

TEST(AccessTest, ATenantHasItsOwnStreams) {
  ServerHarness server;
  Write(server.root() + "/tokens", Line("team-a", "a") + Line("team-b", "b"));
  Write(server.root() + "/tenants", R"({"tenants": {"team-a": {"max_streams": 1}}})");
  server.Start({"--tokens=" + server.root() + "/tokens", "--tenants=" + server.root() + "/tenants"});
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer a");
  v1::WriteFileResponse response;
  const auto held = server.uploads().WriteFile(&context, &response);
  const std::string write = "/nashswarm.v1.UploadService/WriteFile";
  const auto reason_for = [&](const std::string& token) {
    return ReasonOf(CallByName(server.channel(), write, "", "Bearer " + token));
  };
  ASSERT_TRUE(WaitFor([&] { return reason_for("a") == "TOO_MANY_STREAMS"; }));
  EXPECT_EQ(reason_for("b"), "NO_HEADER") << "another tenant has its own";
  context.TryCancel();
  held->Finish();
  EXPECT_TRUE(WaitFor([&] { return reason_for("a") == "NO_HEADER"; }));
}

TEST(AccessTest, MetadataIsBounded) {
  ServerHarness server;
  Write(server.root() + "/tokens", Line("team-a", kToken));
  server.Start({"--tokens=" + server.root() + "/tokens"});
  EXPECT_EQ(ReasonOf(Info(server, std::string(12 << 10, 'x'))), "BAD_TOKEN");
  const grpc::Status status = Info(server, std::string(20 << 10, 'x'));
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << "it must not get as far";
  // gRPC may have closed the connection over it, and a call that meets that fails.
  EXPECT_TRUE(WaitFor([&] { return Info(server, kToken).ok(); }));
}

TEST(AccessTest, SecretsAreWrittenDownNowhereAndRefusalsAtABoundedRate) {
  ServerHarness server;
  Write(server.root() + "/tokens", Line("team-a", kToken));
  server.Start({"--tokens=" + server.root() + "/tokens", "--log-level=debug"});
  const std::string wrong = "nsw_wrong-but-perhaps-right-elsewhere";
  EXPECT_TRUE(Info(server, kToken).ok());
  for (int i = 0; i < 200; ++i) EXPECT_EQ(ReasonOf(Info(server, wrong)), "BAD_TOKEN");
  const std::string log = server.log();
  EXPECT_THAT(log, HasSubstr("a caller was refused"));
  size_t lines = 0;
  for (size_t at = log.find("a caller was refused"); at != std::string::npos;
       at = log.find("a caller was refused", at + 1)) {
    ++lines;
  }
  EXPECT_LT(lines, 100u);
  for (const std::string& text : {log, Content("/proc/" + std::to_string(server.pid()) + "/cmdline")}) {
    EXPECT_THAT(text, Not(HasSubstr(kToken)));
    EXPECT_THAT(text, Not(HasSubstr(wrong)));
  }
}

TEST(AccessTest, ADatabasePasswordIsNeitherTakenAsAFlagNorLogged) {
  ServerHarness server;  // for its directory
  const std::string url = "postgres://me:hunter2@127.0.0.1:1/db", out = server.root() + "/out";
  const auto run = [&](const std::string& variables, const std::string& flags) {
    const std::string program = std::string(std::getenv("NASHSWARM_BIN_DIR")) + "/nashswarmd";
    const std::string command = variables + " " + program + " --data " + server.data() + " --log-level debug " + flags;
    const int status = std::system((command + " >" + out + " 2>&1").c_str());
    EXPECT_THAT(Content(out), Not(HasSubstr("hunter2")));
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(run("", "--jobs '" + url + "'"), 2);
  EXPECT_THAT(Content(out), HasSubstr("NASHSWARM_JOBS"));
  EXPECT_EQ(run("NASHSWARM_JOBS='" + url + "'", ""), 1);
  EXPECT_THAT(Content(out), HasSubstr("DATABASE_IO"));
}

}  // namespace
}  // namespace nashswarm::testing
