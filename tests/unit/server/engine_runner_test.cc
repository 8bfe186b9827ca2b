// EngineRunner against a fake engine that crashes, lies, floods and hangs.
#include "server/worker/engine_runner.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/files.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using std::chrono::steady_clock;

std::string FakeEngine() {
  if (const char* source = std::getenv("NASHSWARM_SOURCE_DIR")) {
    return std::string(source) + "/tests/integration/fake_engine.py";
  }
  return (std::filesystem::path(__FILE__).parent_path() / "../../integration/fake_engine.py").string();
}

// Processes of the group that are not zombies: whoever is init here may be slow to reap orphans.
int LiveInGroup(pid_t group) {
  int live = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "stat");
    std::string line;
    if (!std::getline(in, line)) continue;
    std::istringstream fields(line.substr(line.rfind(')') + 1));  // after the name: state, parent, group
    char state = 0;
    pid_t parent = 0, its_group = 0;
    fields >> state >> parent >> its_group;
    if (its_group == group && state != 'Z' && state != 'X') ++live;
  }
  return live;
}

class Recorder : public EngineObserver {
 public:
  void OnProgress(const EngineProgress& progress) override { last_progress = progress; }
  void OnTensor(const EngineTensor& tensor) override { tensors.push_back(tensor.tensor); }
  void OnLog(const EngineLog& log) override { logs.push_back(log.text); }
  void OnStandardError(std::string_view) override { ++error_lines; }
  absl::Status OnTick() override { return tick ? tick() : absl::OkStatus(); }

  EngineProgress last_progress;
  std::vector<std::string> tensors, logs;
  int error_lines = 0;
  std::function<absl::Status()> tick;
};

class EngineRunnerTest : public ::testing::Test {
 protected:
  EngineRunnerTest() : directory_(*TemporaryDirectory::Create()), runner_(FakeEngine(), {.writable = {directory_.path()}}) {
    for (const char* child : {"in", "out", "model"}) EXPECT_TRUE(MakeDirectories(Path(child)).ok());
  }
  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  EngineRunner::Outcome Run(const std::string& stage, const Json& step, int wake_fd = -1, int timeout_seconds = 0) {
    const Json plan = {{"runs", Path("runs")}, {"shards", 1}, {"steps", {{stage + ":0", {step}}}}};
    EXPECT_TRUE(WriteFileDurably(Path("model/fake.json"), plan.dump()).ok());
    const Json task = {{"stage", stage}, {"shard", 0}, {"model", Path("model")}, {"spec", {{"seed", 0}}}};
    EXPECT_TRUE(WriteFileDurably(Path("task.json"), task.dump()).ok());
    return runner_.Run(directory_.path(), wake_fd, std::chrono::seconds(timeout_seconds), &recorder_);
  }

  TemporaryDirectory directory_;
  EngineRunner runner_;
  Recorder recorder_;
};

TEST_F(EngineRunnerTest, SuccessReturnsTheResultLine) {
  const auto outcome = Run("prepare", {{"do", "ok"}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(JsonInt(outcome.result, "shards", 0), 1);
  EXPECT_EQ(recorder_.last_progress.total, 100);
  EXPECT_TRUE(PathExists(Path("out/prepared.json")));
}

TEST_F(EngineRunnerTest, SignalIsACrashThatMayBeRetried) {
  const auto outcome = Run("prepare", {{"do", "crash"}});
  EXPECT_EQ(ReasonOf(outcome.status), "ENGINE_CRASHED");
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("signal 11"));
  EXPECT_TRUE(IsRetriable(outcome.status));
}

TEST_F(EngineRunnerTest, ExitWithoutALastLineIsACrashAndShowsTheLastWords) {
  const auto outcome = Run("prepare", {{"do", "exit"}});
  EXPECT_EQ(ReasonOf(outcome.status), "ENGINE_CRASHED");
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("last words"));
}

TEST_F(EngineRunnerTest, ErrorLineIsTheEnginesError) {
  const Json error = {{"do", "error"}, {"code", 3}, {"reason", "BAD_TENSOR"}, {"message", "t0 is NaN"},
                      {"hint", "zero_non_finite"}};
  const auto outcome = Run("prepare", error);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(outcome.status), "BAD_TENSOR");
  EXPECT_EQ(HintOf(outcome.status), "zero_non_finite");
  EXPECT_FALSE(IsRetriable(outcome.status));
}

TEST_F(EngineRunnerTest, LineThatIsNoEventEndsTheEngine) {
  EXPECT_EQ(ReasonOf(Run("prepare", {{"do", "garbage"}}).status), "ENGINE_PROTOCOL");
}

TEST_F(EngineRunnerTest, EndlessLineIsCutOff) {
  EXPECT_EQ(ReasonOf(Run("prepare", {{"do", "huge"}}).status), "LINE_TOO_LONG");
}

TEST_F(EngineRunnerTest, FloodOnStandardErrorDoesNotBlockTheEngine) {
  const auto outcome = Run("prepare", {{"do", "error-flood"}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(recorder_.error_lines, 20000);
}

TEST_F(EngineRunnerTest, MissingProgramIsAnError) {
  EngineRunner none("/no/such/engine");
  const auto outcome = none.Run(directory_.path(), -1, std::chrono::seconds(0), &recorder_);
  EXPECT_EQ(ReasonOf(outcome.status), "SPAWN_FAILED");
}

TEST_F(EngineRunnerTest, TimeoutKills) {
  const auto outcome = Run("prepare", {{"do", "wait"}, {"for", "/never"}}, -1, 1);
  EXPECT_EQ(ReasonOf(outcome.status), "TASK_TIMEOUT");
}

TEST_F(EngineRunnerTest, StopKillsTheWholeGroupAtOnce) {
  const int wake = eventfd(0, EFD_NONBLOCK);
  std::atomic<bool> stop{false};
  steady_clock::time_point asked;
  recorder_.tick = [&] { return stop ? absl::CancelledError("stop") : absl::OkStatus(); };
  std::thread canceller([&] {
    while (!PathExists(Path("started")) || *FileSize(Path("started")) == 0) std::this_thread::yield();
    asked = steady_clock::now();
    stop = true;
    eventfd_write(wake, 1);
  });
  const auto outcome =
      Run("prepare", {{"do", "wait"}, {"for", "/never"}, {"started", Path("started")}, {"grandchild", true}}, wake);
  canceller.join();
  EXPECT_LT(steady_clock::now() - asked, std::chrono::milliseconds(500));
  EXPECT_TRUE(outcome.interrupted);
  EXPECT_TRUE(absl::IsCancelled(outcome.status));
  pid_t pid = 0;
  std::ifstream(Path("started")) >> pid;
  const auto deadline = steady_clock::now() + std::chrono::seconds(10);
  while (LiveInGroup(pid) > 0 && steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(LiveInGroup(pid), 0) << "the grandchild lives";
  close(wake);
}

TEST_F(EngineRunnerTest, EngineStartedFromAThreadThatEndsLivesOn) {
  // PR_SET_PDEATHSIG belongs to the thread that forks: a gRPC thread that retires must not take engines with it.
  EngineRunner::Outcome outcome;
  std::thread caller([&] { outcome = Run("prepare", {{"do", "ok"}}); });
  caller.join();
  EXPECT_TRUE(outcome.status.ok());
  ProcessSpawner spawner;
  std::unique_ptr<ChildProcess> child;
  std::thread([&] { child = *spawner.Spawn({"/bin/sleep", "60"}, {}); }).join();
  int status = 0;
  EXPECT_EQ(waitpid(-1, &status, WNOHANG), 0) << "it is still running";
}

TEST(EngineProtocolTest, EventsAreParsedAndChecked) {
  EXPECT_TRUE(std::holds_alternative<EngineProgress>(*ParseEngineLine(R"({"event":"progress","done":1,"total":2})")));
  EXPECT_FALSE(ParseEngineLine(R"({"event":"progress","done":3,"total":2})").ok());
  EXPECT_FALSE(ParseEngineLine(R"({"event":"progress"})").ok());
  EXPECT_FALSE(ParseEngineLine(R"({"event":"surprise"})").ok());
  EXPECT_FALSE(ParseEngineLine(R"([1])").ok());
  EXPECT_FALSE(ParseEngineLine("").ok());
  const auto error = std::get<EngineError>(*ParseEngineLine(R"({"event":"error","code":99})"));
  EXPECT_EQ(error.status.code(), absl::StatusCode::kUnknown);
}

TEST(EngineProtocolTest, TextsOfAnyLengthMakeMessagesThatClientsTake) {
  const std::string endless(3 << 20, 'x');
  const auto parse = [&](const std::string& fields) { return *ParseEngineLine("{" + fields + endless + "\"}"); };
  EXPECT_LT(std::get<EngineLog>(parse(R"("event":"log","text":")")).text.size(), size_t{1} << 17);
  EXPECT_LT(std::get<EngineTensor>(parse(R"("event":"tensor","tensor":")")).tensor.size(), size_t{1} << 13);
  EXPECT_LT(std::get<EngineProgress>(parse(R"("event":"progress","done":1,"total":2,"tensor":")")).tensor.size(), size_t{1} << 13);
  EXPECT_LT(std::get<EngineError>(parse(R"("event":"error","code":3,"message":")")).status.message().size(), size_t{1} << 17);
}

TEST(EngineProtocolTest, LinesAcrossReads) {
  std::vector<std::string> lines;
  const auto sink = [&](std::string_view line) {
    lines.emplace_back(line);
    return absl::OkStatus();
  };
  LineReader strict(5, false), lenient(5, true);
  ASSERT_TRUE(strict.Feed("ab", sink).ok());
  ASSERT_TRUE(strict.Feed("c\n\nde\nfg", sink).ok());
  ASSERT_TRUE(strict.Finish(sink).ok());
  EXPECT_THAT(lines, ::testing::ElementsAre("abc", "de", "fg"));
  EXPECT_EQ(ReasonOf(strict.Feed("123456", sink)), "LINE_TOO_LONG");
  lines.clear();
  ASSERT_TRUE(lenient.Feed("1234567890ab\n", sink).ok());
  EXPECT_THAT(lines, ::testing::ElementsAre("12345", "67890", "ab"));
}

TEST(EngineDescribeTest, AFakeOneDescribesItself) {
  const auto engine = EngineRunner(FakeEngine()).Describe();
  NS_ASSERT_OK(engine.status());
  EXPECT_EQ(engine->version, NASHSWARM_VERSION);
  NS_EXPECT_OK(CheckEngine(*engine, NASHSWARM_VERSION));
}

TEST(EngineDescribeTest, AProgramThatIsNoEngineIsSaid) {
  EXPECT_EQ(ReasonOf(EngineRunner("/bin/false").Describe().status()), "ENGINE_CRASHED");
  EXPECT_EQ(ReasonOf(EngineRunner("/bin/echo").Describe().status()), "ENGINE_PROTOCOL");
}

}  // namespace
}  // namespace nashswarm::server
