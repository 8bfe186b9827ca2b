// How a real nashswarmd is reached: TLS, certificates that change, clients that are slow or idle; and what the client
// makes of it.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "core/base/hash.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"
#include "tests/support/certificates.h"

namespace nashswarm::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kNames[] = "DNS:localhost,IP:127.0.0.1";

void Write(const std::string& path, const std::string& content) {
  std::ofstream(path + ".new") << content;
  ASSERT_EQ(chmod((path + ".new").c_str(), 0600), 0);
  ASSERT_EQ(rename((path + ".new").c_str(), path.c_str()), 0);
}

grpc::Status Info(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::ServerInfo info;
  return v1::InfoService::NewStub(channel)->GetServerInfo(&context, {}, &info);
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address,
                                          const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

struct CliResult {
  int exit_code;
  std::string output;
};

// The client, with stdout and stderr in one.
CliResult Cli(const std::string& arguments) {
  const std::string program = std::string(std::getenv("NASHSWARM_BIN_DIR")) + "/nashswarm";
  FILE* pipe = popen((program + " " + arguments + " 2>&1").c_str(), "r");
  CliResult result = {-1, ""};
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) result.output.append(buffer, got);
  result.exit_code = WEXITSTATUS(pclose(pipe));
  return result;
}

class TlsTest : public ::testing::Test {
 protected:
  void Serve(const PemPair& pair, std::vector<std::string> flags = {}) {
    Write(Path("cert"), pair.certificate);
    Write(Path("key"), pair.key);
    Write(Path("ca"), ca_.pem());
    Write(Path("tokens"), "team-a someone sha256:" + ToHex(RawSha256("secret")) + "\n");
    flags.insert(flags.end(), {"--tls-cert=" + Path("cert"), "--tls-key=" + Path("key")});
    server_.Start(flags);
  }
  std::string Path(const std::string& name) const { return server_.root() + "/" + name; }
  std::string address() const { return server_.info()["grpc"].get<std::string>(); }
  std::string ByName() const { return "localhost" + address().substr(address().rfind(':')); }
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(const CertificateAuthority& ca, const PemPair& own = {}) {
    return grpc::SslCredentials({ca.pem(), own.key, own.certificate});
  }
  std::shared_ptr<grpc::Channel> NewConnection(const std::shared_ptr<grpc::ChannelCredentials>& credentials) const {
    return NewChannel(address(), credentials);
  }

  const CertificateAuthority ca_{"CA"}, other_ca_{"other CA"};
  ServerHarness server_;
};

TEST_F(TlsTest, ANewCertificateIsServedToNewConnectionsAndABrokenOneIsNot) {
  server_.UseCredentials(Trusting(ca_));
  Serve(ca_.Issue("server", kNames));
  ASSERT_TRUE(Info(server_.channel()).ok());
  EXPECT_FALSE(Info(NewConnection(Trusting(other_ca_))).ok());

  const PemPair next = other_ca_.Issue("server", kNames);
  Write(Path("cert"), next.certificate);
  Write(Path("key"), next.key);
  EXPECT_TRUE(WaitFor([&] { return Info(NewConnection(Trusting(other_ca_))).ok(); }, std::chrono::seconds(10)));
  EXPECT_FALSE(Info(NewConnection(Trusting(ca_))).ok());
  EXPECT_TRUE(Info(server_.channel()).ok()) << "connections from before live on";

  Write(Path("key"), "-----BEGIN PRIVATE KEY-----\n");
  ASSERT_TRUE(WaitFor([&] {
    EXPECT_TRUE(Info(NewConnection(Trusting(other_ca_))).ok());
    return server_.log().find("TLS_INVALID") != std::string::npos || HasFailure();
  }));
  EXPECT_TRUE(Info(NewConnection(Trusting(other_ca_))).ok());
}

TEST_F(TlsTest, ClientsNeedACertificateOfTheRightCa) {
  const PemPair mine = ca_.Issue("team-a", ""), foreign = other_ca_.Issue("team-a", ""),
                old = ca_.Issue("team-a", "", -60);
  server_.UseCredentials(Trusting(ca_, mine));
  Serve(ca_.Issue("server", kNames), {"--tls-client-ca=" + Path("ca"), "--tls-tenant-from=cn"});
  EXPECT_TRUE(Info(server_.channel()).ok());
  EXPECT_EQ(Info(NewConnection(Trusting(ca_))).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Info(NewConnection(Trusting(ca_, foreign))).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Info(NewConnection(Trusting(ca_, old))).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(Info(NewConnection(grpc::InsecureChannelCredentials())).ok());
  const grpc::Status nameless = Info(NewConnection(Trusting(ca_, ca_.Issue("no tenant", ""))));
  EXPECT_EQ(nameless.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(InfoOf(nameless).reason(), "CERTIFICATE_WITHOUT_TENANT");
}

TEST_F(TlsTest, ACertificateDoesNotReplaceAToken) {
  const PemPair mine = ca_.Issue("team-b", "URI:spiffe://test/team-a"),
                other = ca_.Issue("team-a", "URI:spiffe://test/b");
  const auto with_token = [&](const PemPair& pair) {
    return grpc::CompositeChannelCredentials(Trusting(ca_, pair), grpc::AccessTokenCredentials("secret"));
  };
  server_.UseCredentials(with_token(mine));
  Serve(ca_.Issue("server", kNames),
        {"--tls-client-ca=" + Path("ca"), "--tls-tenant-from=san-uri", "--tokens=" + Path("tokens")});
  EXPECT_TRUE(Info(server_.channel()).ok()) << Info(server_.channel()).error_message();
  EXPECT_EQ(InfoOf(Info(NewConnection(Trusting(ca_, mine)))).reason(), "NO_TOKEN");
  EXPECT_EQ(InfoOf(Info(NewConnection(with_token(other)))).reason(), "TENANT_MISMATCH");
}

TEST_F(TlsTest, TheClientSaysWhatIsWrong) {
  const PemPair mine = ca_.Issue("team-a", "");
  server_.UseCredentials(Trusting(ca_, mine));
  Serve(ca_.Issue("server", kNames), {"--tokens=" + Path("tokens")});
  Write(Path("token"), "secret\n");
  Write(Path("bad-token"), "guess\n");
  Write(Path("other-ca"), other_ca_.pem());
  const std::string info = "server info --server ", ca = " --ca " + Path("ca"),
                    token = " --token-file " + Path("token");
  const auto expect = [&](const std::string& arguments, int exit_code, const char* text) {
    const CliResult result = Cli(info + arguments);
    EXPECT_EQ(result.exit_code, exit_code) << arguments << "\n" << result.output;
    EXPECT_THAT(result.output, HasSubstr(text)) << arguments;
  };
  expect("https://" + ByName() + ca + token, 0, "workers");
  expect(address() + " --tls" + ca + token, 0, "workers");
  expect("https://" + ByName() + ca, 4, "NO_TOKEN");
  expect("https://" + ByName() + ca + " --token-file " + Path("bad-token"), 4, "BAD_TOKEN");
  expect("https://" + ByName() + " --ca " + Path("other-ca") + token, 5, "TLS_UNTRUSTED");
  expect("https://127.0.0.2" + address().substr(address().rfind(':')) + ca + token, 5, "127.0.0.2");
  expect(address() + token, 5, "--tls");
  expect("http://example.org:1" + token, 2, "unencrypted");
}

TEST_F(TlsTest, TheClientSaysThatTheNameOrItsOwnCertificateIsWrong) {
  const PemPair mine = ca_.Issue("team-a", "");
  server_.UseCredentials([&] { return Trusting(ca_, mine); }());
  Serve(ca_.Issue("server", kNames), {"--tls-client-ca=" + Path("ca")});
  Write(Path("my-cert"), mine.certificate);
  Write(Path("my-key"), mine.key);
  const std::string good = " --cert " + Path("my-cert") + " --key " + Path("my-key");
  const std::string info = "server info --tls --ca " + Path("ca") + " --server ";
  EXPECT_EQ(Cli(info + address() + good).exit_code, 0);
  const CliResult without = Cli(info + address());
  EXPECT_EQ(without.exit_code, 5);
  EXPECT_THAT(without.output, HasSubstr("--cert")) << without.output;

  Write(Path("cert"), ca_.Issue("server", "DNS:elsewhere").certificate);
  const PemPair elsewhere = ca_.Issue("server", "DNS:elsewhere");
  Write(Path("key"), elsewhere.key);
  Write(Path("cert"), elsewhere.certificate);
  EXPECT_TRUE(WaitFor([&] { return Cli(info + address() + good).output.find("TLS_WRONG_NAME") != std::string::npos; }))
      << Cli(info + address() + good).output;
}

// ---- slow and idle clients

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

TEST(SlowTest, AnUploadThatStandsStillEndsAndCanGoOn) {
  ServerHarness server;
  server.Start({"--upload-idle-timeout=300ms", "--max-streams=1"});
  const std::string content = Bytes(100'000);
  const v1::Upload upload = server.CreateUpload({{"data.txt", content}}, "", v1::Model::DATA);
  grpc::ClientContext context;
  v1::WriteFileResponse response;
  const auto writer = server.uploads().WriteFile(&context, &response);
  v1::WriteFileRequest message;
  message.mutable_header()->set_upload(upload.name());
  message.mutable_header()->set_path("data.txt");
  writer->Write(message);
  message.mutable_chunk()->set_data(content.substr(0, 60'000));
  message.mutable_chunk()->set_crc32c(TestCrc32c(message.chunk().data()));
  writer->Write(message);
  const grpc::Status ended = writer->Finish();  // without WritesDone: we could have gone on
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(InfoOf(ended).reason(), "UPLOAD_TOO_SLOW");
  EXPECT_THAT(InfoOf(ended).metadata().at("hint"), HasSubstr("committed_size"));
  // Its only place is free again, and what had come is kept.
  ASSERT_TRUE(WaitFor([&] {
    grpc::ClientContext get;
    v1::GetUploadRequest request;
    request.set_name(upload.name());
    v1::Upload now;
    EXPECT_TRUE(server.uploads().GetUpload(&get, request, &now).ok());
    return now.files(0).committed_size() == 60'000;
  }));
  EXPECT_TRUE(WaitFor([&] { return server.Write(upload.name(), "data.txt", content, 60'000, true).ok(); }));
}

TEST(SlowTest, AStreamThatNeverBeginsEndsToo) {
  ServerHarness server;
  server.Start({"--upload-idle-timeout=300ms"});
  grpc::ClientContext context;
  v1::WriteFileResponse response;
  const grpc::Status ended = server.uploads().WriteFile(&context, &response)->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(InfoOf(ended).reason(), "UPLOAD_TOO_SLOW");
}

TEST(SlowTest, ADownloadThatNobodyTakesEnds) {
  ServerHarness server;
  server.Start({"--download-idle-timeout=300ms", "--max-streams=1"});
  const std::string content = Bytes(64 << 20);
  const v1::Model model = server.PushData({"data.txt", content});
  grpc::ClientContext context;
  v1::ReadFileRequest request;
  request.set_name(model.name());
  request.set_path("data.txt");
  const auto reader = server.artifacts().ReadFile(&context, request);
  v1::ReadFileResponse message;
  ASSERT_TRUE(reader->Read(&message));
  std::string begin;
  EXPECT_TRUE(WaitFor([&] { return server.Read(model.name(), "data.txt", 0, 1000, &begin).ok(); }))
      << "its place must become free";
  EXPECT_EQ(begin, content.substr(0, 1000));
  while (reader->Read(&message)) {
  }
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(ended.error_message(), HasSubstr("DOWNLOAD_TOO_SLOW"));
}

// The watchdog did not see it, and its thread, its place and the file's other readers waited for ever.
TEST(SlowTest, AnEmptyRangeThatNobodyTakesEnds) {
  ServerHarness server;
  server.Start({"--download-idle-timeout=300ms", "--max-streams=1"});
  const std::string content = Bytes(1000);
  const v1::Model model = server.PushData({"data.txt", content});
  grpc::ChannelArguments narrow;  // no answer fits into what such a client takes before it reads
  narrow.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  narrow.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);
  narrow.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto channel = grpc::CreateCustomChannel(server.info()["grpc"].get<std::string>(), grpc::InsecureChannelCredentials(), narrow);
  const auto artifacts = v1::ArtifactService::NewStub(channel);
  grpc::ClientContext context;
  v1::ReadFileRequest request;
  request.set_name(model.name());
  request.set_path("data.txt");
  request.set_read_offset(static_cast<int64_t>(content.size()));
  const auto reader = artifacts->ReadFile(&context, request);
  std::string whole;
  EXPECT_TRUE(WaitFor([&] { return server.Read(model.name(), "data.txt", 0, 0, &whole).ok(); })) << "its place must become free";
  EXPECT_EQ(whole, content);
  v1::ReadFileResponse message;
  while (reader->Read(&message)) {
  }
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << ended.error_message();
}

int ConnectAndSayNothing(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

// Whether the server closes the connection; what it says first (its HTTP/2 settings) is passed over.
bool EndsSoon(int fd) {
  const timeval limit = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  char bytes[256];
  ssize_t got = 0;
  while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
  }
  return got == 0 || errno == ECONNRESET;
}

TEST(IdleTest, ManyIdleConnectionsKeepNobodyOut) {
  ServerHarness server;
  server.Start({"--max-connections=10"});
  const std::string address = server.info()["grpc"].get<std::string>();
  ASSERT_TRUE(Info(server.channel()).ok());
  std::vector<int> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(ConnectAndSayNothing(address));
  for (int i = 0; i < 5; ++i) {
    const auto status = Info(NewChannel(address, grpc::InsecureChannelCredentials()));
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  context.set_wait_for_ready(false);
  v1::ServerInfo info;
  EXPECT_TRUE(server.server_info().GetServerInfo(&context, {}, &info).ok()) << "who was let in is not put out";
  EXPECT_EQ(server.channel()->GetState(false), GRPC_CHANNEL_READY);
  // The first of the idle ones has made room: its end has come.
  EXPECT_TRUE(EndsSoon(idle.front()));
  for (const int fd : idle) close(fd);
}

TEST(IdleTest, WhereEverybodyIsLetInTheBoundRefusesNewOnes) {
  ServerHarness server;
  server.Start({"--max-connections=3"});
  const std::string address = server.info()["grpc"].get<std::string>();
  ASSERT_TRUE(Info(server.channel()).ok());
  auto second = NewChannel(address, grpc::InsecureChannelCredentials());
  const auto third = NewChannel(address, grpc::InsecureChannelCredentials());
  ASSERT_TRUE(Info(second).ok());
  ASSERT_TRUE(Info(third).ok());
  EXPECT_EQ(Info(NewChannel(address, grpc::InsecureChannelCredentials())).error_code(), grpc::StatusCode::UNAVAILABLE);
  second.reset();
  EXPECT_TRUE(WaitFor([&] { return Info(NewChannel(address, grpc::InsecureChannelCredentials())).ok(); }))
      << "a connection that has ended makes room";
}

TEST(IdleTest, AnIdleConnectionIsClosed) {
  ServerHarness server;
  server.Start({"--max-connection-idle=300ms"});
  ASSERT_TRUE(Info(server.channel()).ok());
  EXPECT_TRUE(WaitFor([&] { return server.channel()->GetState(false) != GRPC_CHANNEL_READY; }));
  EXPECT_TRUE(Info(server.channel()).ok()) << "and opened again when it is needed";
}

}  // namespace
}  // namespace nashswarm::testing
