#include "client/cli/private_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "client/cli/programs.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class PrivateServerTest : public testing::Test {
 protected:
  // A program in place of nashswarmd; $I is the info file it was given, $D its data directory.
  std::string Program(const std::string& body) {
    directory_.Write("nashswarmd", "#!/bin/sh\nD=$4\nI=$8\n" + body);
    chmod((directory_ / "nashswarmd").c_str(), 0755);
    return directory_ / "nashswarmd";
  }
  absl::StatusOr<std::unique_ptr<PrivateServer>> Start(const std::string& body, const std::string& keep = "") {
    return PrivateServer::Start({.program = Program(body),
                                 .near = directory_ / "out",
                                 .keep_data = keep,
                                 .stop_limit = std::chrono::milliseconds(200)},
                                interrupt_);
  }
  static constexpr char kReady[] = "mkdir -p $D; touch $D/db; echo '{\"grpc\":\"x\",\"pid\":1}' > $I\n";
  std::string Pid() { return directory_.Read("pid"); }
  bool Runs() { return kill(static_cast<pid_t>(std::stol(Pid())), 0) == 0; }

  Interrupt interrupt_;
  TemporaryDirectory directory_;
};

TEST_F(PrivateServerTest, RunsBesideTheOutputAndLeavesNothing) {
  auto server = Start(std::string(kReady) + "echo $$ > ${0%/*}/pid\nexec sleep 100\n");
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE((*server)->CheckAlive().ok());
  EXPECT_LT((*server)->address().size(), 107u);
  EXPECT_GT(directory_.List().size(), 2u);  // log, info, data beside the output
  server->reset();
  EXPECT_FALSE(Runs());
  EXPECT_THAT(directory_.List(), ElementsAre("nashswarmd", "pid"));
}

TEST_F(PrivateServerTest, AServerThatIgnoresSigtermIsKilledWithItsChildren) {
  auto server = Start("trap '' TERM\n(trap '' TERM; echo $(sh -c 'echo $PPID') > ${0%/*}/pid; sleep 100) &\n" +
                      std::string("while [ ! -s ${0%/*}/pid ]; do sleep 0.01; done\n") + kReady +
                      "while true; do sleep 1; done\n");
  ASSERT_TRUE(server.ok()) << server.status();
  server->reset();
  // The child is an orphan now; whoever adopted it reaps it.
  for (int i = 0; i < 500 && Runs(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::string stat = [&] {
    std::ifstream file("/proc/" + std::to_string(std::stol(Pid())) + "/stat");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  EXPECT_TRUE(stat.empty() || stat.find(") Z") != std::string::npos) << stat;
}

TEST_F(PrivateServerTest, AServerThatCannotStartShowsItsLog) {
  const auto server = Start("echo 'the database is locked' >&2; exit 3\n");
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("status 3"));
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("the database is locked"));
  EXPECT_THAT(directory_.List(), ElementsAre("nashswarmd"));
}

TEST_F(PrivateServerTest, ACrashIsNoticed) {
  auto server = Start(std::string(kReady) + "kill -9 $$\n");
  ASSERT_TRUE(server.ok() || ReasonOf(server.status()) == "PRIVATE_SERVER_ENDED");
  if (!server.ok()) return;  // it was faster than we
  absl::Status status;
  while (status.ok()) status = (*server)->CheckAlive();
  EXPECT_THAT(std::string(status.message()), HasSubstr("signal 9"));
}

TEST_F(PrivateServerTest, KeptDataStays) {
  auto server = Start(std::string(kReady) + "exec sleep 100\n", directory_ / "kept");
  ASSERT_TRUE(server.ok()) << server.status();
  server->reset();
  EXPECT_THAT(directory_.List(), ElementsAre("kept/db", "nashswarmd"));
}

// The variables of a server of many replicas: it would have worked in their stores.
TEST_F(PrivateServerTest, IsNoneOfTheUsersOtherServers) {
  for (const char* name : {"NASHSWARM_JOBS", "NASHSWARM_BLOBS", "NASHSWARM_ROLE", "NASHSWARM_WORKERS"}) setenv(name, "x", 1);
  const auto server = Start("env > ${0%/*}/environment\n" + std::string(kReady) + "exec sleep 100\n");
  for (const char* name : {"NASHSWARM_JOBS", "NASHSWARM_BLOBS", "NASHSWARM_ROLE", "NASHSWARM_WORKERS"}) unsetenv(name);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string environment = directory_.Read("environment");
  EXPECT_THAT(environment, HasSubstr("NASHSWARM_WORKERS=x"));
  for (const char* name : {"NASHSWARM_JOBS", "NASHSWARM_BLOBS", "NASHSWARM_ROLE"}) EXPECT_THAT(environment, Not(HasSubstr(name)));
}

TEST_F(PrivateServerTest, CtrlCWhileItStartsCleansUp) {
  interrupt_.Trip();
  EXPECT_EQ(ExitCodeOf(Start("exec sleep 100\n").status()), kExitInterrupted);
  EXPECT_THAT(directory_.List(), ElementsAre("nashswarmd"));
}

TEST_F(PrivateServerTest, DirectoriesOfKilledRunsAreClearedAwayAndLivingOnesAreNot) {
  const auto make = [&](const std::string& name, bool old) {
    directory_.Write(name + "/lock", "");
    const timeval times[2] = {{0, 0}, {0, 0}};
    if (old) utimes((directory_ / (name + "/lock")).c_str(), times);
  };
  make(".nashswarm-dead01", true);
  make(".nashswarm-fresh1", false);
  make(".nashswarm-alive1", true);
  directory_.Write(".nashswarm-other1/file", "not ours: no lock file");
  const UniqueFd alive(open((directory_ / ".nashswarm-alive1/lock").c_str(), O_RDWR));
  ASSERT_EQ(flock(alive.get(), LOCK_EX | LOCK_NB), 0);
  RemoveAbandonedWork(directory_.path());
  EXPECT_THAT(directory_.List(),
              ElementsAre(".nashswarm-alive1/lock", ".nashswarm-fresh1/lock", ".nashswarm-other1/file"));
}

TEST(Programs, OursComesBeforeThePath) {
  const TemporaryDirectory directory;
  for (const char* name : {"own/nashswarmd", "path/nashswarmd", "path/nashswarm-engine", "path/plain"}) {
    directory.Write(name, "#!/bin/sh\n");
    if (std::string(name) != "path/plain") chmod((directory / name).c_str(), 0755);
  }
  const std::string path = "/nowhere::" + (directory / "path");
  EXPECT_EQ(*FindProgramIn("nashswarmd", directory / "own", path, "h"), directory / "own/nashswarmd");
  EXPECT_EQ(*FindProgramIn("nashswarm-engine", directory / "own", path, "h"), directory / "path/nashswarm-engine");
  EXPECT_FALSE(FindProgramIn("plain", directory / "own", path, "h").ok()) << "not executable";
  const absl::Status status = FindProgramIn("none", directory / "own", path, "install it").status();
  EXPECT_EQ(ExitCodeOf(status), kExitNotFound);
  EXPECT_EQ(HintOf(status), "install it");
}

}  // namespace
}  // namespace nashswarm::cli
