// The sandbox against a program that tries to leave it (sandbox_probe.cc).
#include "server/worker/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/worker/engine_runner.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

class Silence : public EngineObserver {
 public:
  void OnProgress(const EngineProgress&) override {}
  void OnTensor(const EngineTensor&) override {}
  void OnLog(const EngineLog&) override {}
  void OnStandardError(std::string_view) override {}
  absl::Status OnTick() override { return absl::OkStatus(); }
};

// The probe stands beside this program.
std::string Probe() { return std::filesystem::canonical("/proc/self/exe").parent_path() / "sandbox_probe"; }

class SandboxTest : public ::testing::Test {
 protected:
  SandboxTest() : root_(*TemporaryDirectory::Create()) {
    for (const char* child : {"task/in", "task/out", "task/model", "task/data"}) EXPECT_TRUE(MakeDirectories(Path(child)).ok());
    EXPECT_TRUE(WriteFileDurably(Path("secret"), "token").ok());
    EXPECT_TRUE(WriteFileDurably(Path("task/in/input"), "input").ok());
  }
  std::string Path(const std::string& name) const { return root_.path() + "/" + name; }

  EngineRunner::Outcome Run(const std::string& what, const TaskLimits& limits = {}, const SandboxOptions& options = {}) {
    EXPECT_TRUE(WriteFileDurably(Path("task/probe"), what).ok());
    Silence observer;
    EngineRunner runner(Probe(), options);
    return runner.Run(Path("task"), -1, std::chrono::seconds(60), &observer, limits);
  }
  // What the probe found; -1 when it did not live to tell.
  int64_t Value(const std::string& what, const TaskLimits& limits = {}, const SandboxOptions& options = {}) {
    const EngineRunner::Outcome outcome = Run(what, limits, options);
    EXPECT_TRUE(outcome.status.ok()) << what << ": " << outcome.status;
    return outcome.status.ok() ? JsonInt(outcome.result, "value", -1) : -1;
  }

  TemporaryDirectory root_;
};

class SandboxFilesTest : public SandboxTest {
 protected:
  void SetUp() override {
    if (FileRules::AbiVersion() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  }
};

class SandboxCallsTest : public SandboxTest {
 protected:
  void SetUp() override {
    if (!ActiveProtections({}).syscall_filter) GTEST_SKIP() << "no seccomp here, or a build with AddressSanitizer";
  }
};

TEST_F(SandboxFilesTest, OnlyTheTaskIsReadable) {
  EXPECT_EQ(Value("read in/input"), 0);
  EXPECT_EQ(Value("list in"), 0);
  EXPECT_EQ(Value("read " + Path("secret")), EACCES);
  EXPECT_EQ(Value("list " + root_.path()), EACCES);
  EXPECT_EQ(Value("read /etc/passwd"), EACCES);
  EXPECT_EQ(Value("read /proc/" + std::to_string(getpid()) + "/environ"), EACCES) << "the server's environment has secrets";
  EXPECT_EQ(Value("read /proc/self/status"), 0);
  EXPECT_EQ(Value("read /dev/urandom"), 0);
  EXPECT_EQ(Value("write /dev/null"), 0);
}

TEST_F(SandboxFilesTest, WritesGoBelowOutAlone) {
  EXPECT_EQ(Value("write out/result"), 0);
  EXPECT_EQ(Value("write beside"), EACCES);
  EXPECT_EQ(Value("write " + Path("secret")), EACCES);
  // A hard link into the blob store: root and the file's owner could write to it.
  ASSERT_EQ(link(Path("secret").c_str(), Path("task/model/weights").c_str()), 0);
  EXPECT_EQ(Value("read model/weights"), 0);
  EXPECT_EQ(Value("write model/weights"), EACCES);
  if (FileRules::AbiVersion() >= 3) {
    EXPECT_EQ(Value("truncate model/weights"), EACCES);
  }
  EXPECT_EQ(*ReadFile(Path("secret")), "token");
}

TEST_F(SandboxFilesTest, OnlyPlainFilesAndDirectoriesAreMadeAndRemovedBelowOutAlone) {
  EXPECT_EQ(Value("change mkdir out/scratch"), 0);
  EXPECT_EQ(Value("write out/scratch/a"), 0);
  EXPECT_EQ(Value("change link out/scratch/a"), 0);
  EXPECT_EQ(Value("change rename out/scratch/a"), 0);
  EXPECT_EQ(Value("change unlink out/scratch/a"), 0);  // renaming onto a link of the same file does nothing
  EXPECT_EQ(Value("change unlink out/scratch/a-2"), 0);
  EXPECT_EQ(Value("change rmdir out/scratch"), 0);
  for (const char* kind : {"symlink", "fifo", "socket-file", "device", "block-device"}) {
    EXPECT_EQ(Value(std::string("change ") + kind + " out/" + kind), EACCES) << kind;
  }
  ASSERT_TRUE(MakeDirectories(Path("task/in/directory")).ok());
  for (const char* change : {"unlink in/input", "link in/input", "rename in/input", "rmdir in/directory", "mkdir in/new"}) {
    EXPECT_EQ(Value(std::string("change ") + change), EACCES) << change;
  }
}

TEST_F(SandboxFilesTest, NothingThatCameWithTheTaskOrWasWrittenRuns) {
  for (const char* name : {"task/in/program", "task/out/program"}) {
    std::filesystem::copy_file("/bin/true", Path(name));
  }
  EXPECT_EQ(Value("execute in/program"), EACCES);
  EXPECT_EQ(Value("execute out/program"), EACCES);
}

TEST_F(SandboxFilesTest, LandlockAloneKeepsTcpAndSignalsInside) {
  SandboxOptions files_alone;  // seccomp would refuse these first
  files_alone.filter_syscalls = false;
  if (FileRules::AbiVersion() >= 4) {
    EXPECT_EQ(Value("bind", {}, files_alone), EACCES);
  }
  if (FileRules::AbiVersion() >= 6) {
    EXPECT_EQ(Value("call kill " + std::to_string(getpid()), {}, files_alone), EPERM);
  }
}

TEST_F(SandboxFilesTest, SymbolicLinksOfTheTaskAreReadable) {
  ASSERT_TRUE(WriteFileDurably(Path("blob"), "weights").ok());
  ASSERT_EQ(symlink(Path("blob").c_str(), Path("task/model/weights").c_str()), 0);
  ASSERT_EQ(symlink("/no/such/file", Path("task/model/dangling").c_str()), 0);
  EXPECT_EQ(Value("read model/weights"), 0);
  EXPECT_EQ(Value("write model/weights"), EACCES);
  EXPECT_EQ(Value("read " + Path("secret")), EACCES);
}

TEST_F(SandboxFilesTest, OptionsAddWritableDirectories) {
  ASSERT_TRUE(MakeDirectories(Path("records")).ok());
  SandboxOptions options;
  options.writable = {Path("records")};
  EXPECT_EQ(Value("write " + Path("records/new"), {}, options), 0);
  options.restrict_files = false;
  EXPECT_EQ(Value("read " + Path("secret"), {}, options), 0);
}

TEST_F(SandboxCallsTest, NoNetwork) {
  for (const char* family : {"inet", "unix", "netlink"}) EXPECT_EQ(Value(std::string("socket ") + family), EPERM) << family;
  EXPECT_EQ(Value("call io_uring"), EPERM) << "it can open sockets too";
}

TEST_F(SandboxCallsTest, NoOtherProcessAndNoKernelInterface) {
  SandboxOptions calls_alone;  // Landlock would refuse some of it too
  calls_alone.restrict_files = false;
  const std::string parent = " " + std::to_string(getpid());
  for (const char* call : {"ptrace", "readv", "kill"}) {
    EXPECT_EQ(Value(std::string("call ") + call + parent, {}, calls_alone), EPERM) << call;
  }
  for (const char* call : {"unshare", "clone", "keyctl", "bpf", "setrlimit"}) {
    EXPECT_EQ(Value(std::string("call ") + call, {}, calls_alone), EPERM) << call;
  }
#if defined(__x86_64__)
  EXPECT_EQ(Value("call x32", {}, calls_alone), EPERM);
#endif
  EXPECT_EQ(Value("threads"), 0) << "clone3 is refused so that clone is used";
}

TEST_F(SandboxTest, MemoryLimitCountsRealAllocationsAndNotMappedFiles) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer needs more address space than any limit";
#endif
  const std::string big = Path("task/model/big");
  ASSERT_TRUE(WriteFileDurably(big, "").ok());
  ASSERT_EQ(truncate(big.c_str(), 300 * kMiB), 0);
  const TaskLimits limits = {100 * kMiB, 0};
  EXPECT_EQ(Value("allocate x " + std::to_string(50 * kMiB), limits), 0);
  EXPECT_EQ(Value("allocate x " + std::to_string(150 * kMiB), limits), ENOMEM);
  EXPECT_EQ(Value("allocate x " + std::to_string(150 * kMiB)), 0);
  EXPECT_EQ(Value("map model/big " + std::to_string(300 * kMiB), limits), 0);
}

TEST_F(SandboxTest, FileLimitIsAnErrorAndNotADeath) {
  const TaskLimits limits = {0, kMiB};
  EXPECT_EQ(Value("fill out/small " + std::to_string(kMiB), limits), 0);
  EXPECT_EQ(Value("fill out/large " + std::to_string(2 * kMiB), limits), EFBIG);
  EXPECT_EQ(ReasonOf(ErrnoError(EFBIG, "out/large")), "NO_SPACE");
  EXPECT_EQ(ErrnoError(EFBIG, "out/large").code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SandboxTest, NothingIsInherited) {
  const int leak = open(Path("secret").c_str(), O_RDONLY);  // without O_CLOEXEC, as a library might
  ASSERT_GE(leak, 3);
  EXPECT_EQ(Value("descriptors"), 1) << "of its own /probe file alone";
  close(leak);
  setenv("NASHSWARM_TOKEN", "secret", 1);
  EXPECT_EQ(Value("environment NASHSWARM_TOKEN"), 0);
  EXPECT_EQ(Value("environment PATH"), 1);
  EXPECT_EQ(Value("environment OPENBLAS_NUM_THREADS"), 1);
  unsetenv("NASHSWARM_TOKEN");
}

TEST_F(SandboxTest, SignalsAndStreamsStartAfresh) {
  sigset_t blocked, before;
  sigfillset(&blocked);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);  // as nashswarmd does; the runner's thread has it from here
  const auto pipe_before = signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(Value("signals"), 0);
  signal(SIGPIPE, pipe_before);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(Value("stdin"), 0) << "at its end";
  EXPECT_EQ(Value("death"), SIGKILL) << "when nashswarmd dies";
  EXPECT_EQ(Value("group"), 1) << "of its own, to be killed whole";
}

TEST_F(SandboxTest, LimitsThatAlwaysHold) {
  EXPECT_EQ(Value("privileges"), 1) << "no_new_privs: a set-user-ID program gives none";
  EXPECT_EQ(Value("limit core"), 1);
  EXPECT_GT(Value("limit files"), 0);
  EXPECT_LE(Value("limit files"), 4096);
  EXPECT_EQ(Value("umask"), 077);
  EXPECT_EQ(Value("oom"), 800);
  EXPECT_EQ(Value("write out/private"), 0);
  struct stat info;
  ASSERT_EQ(stat(Path("task/out/private").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SandboxTest, EveryDeathIsAnOutcomeWithItsReason) {
  const TaskLimits limits = {200 * kMiB, 0};
  const auto message = [](const EngineRunner::Outcome& outcome) { return std::string(outcome.status.message()); };
#if defined(__SANITIZE_ADDRESS__)
  const char* segv = "ABORTING";  // the sanitizer has a handler for it
#else
  const char* segv = "signal 11";
#endif
  for (const auto& [how, signal] : {std::pair{"segv", segv}, {"abort", "signal 6"}, {"exit", "status 7"}}) {
    const EngineRunner::Outcome outcome = Run(std::string("die ") + how, limits);
    EXPECT_EQ(ReasonOf(outcome.status), "ENGINE_CRASHED") << how;
    EXPECT_THAT(message(outcome), HasSubstr(signal));
    EXPECT_TRUE(IsRetriable(outcome.status));
  }
#if !defined(__SANITIZE_ADDRESS__)
  const EngineRunner::Outcome thrown = Run("die bad_alloc", limits);
  EXPECT_EQ(ReasonOf(thrown.status), "ENGINE_CRASHED");
  EXPECT_THAT(message(thrown), HasSubstr("bad_alloc"));
  EXPECT_THAT(HintOf(thrown.status), HasSubstr("limit of memory"));
#endif
  const EngineRunner::Outcome killed = Run("die kill", limits);
  EXPECT_EQ(ReasonOf(killed.status), "ENGINE_KILLED");
  EXPECT_THAT(HintOf(killed.status), HasSubstr("memory"));
  EXPECT_TRUE(IsRetriable(killed.status));
}

TEST(SandboxOptionsTest, Environment) {
  setenv("NASHSWARM_SANDBOX", "off", 1);
  setenv("NASHSWARM_SANDBOX_WRITABLE", "/a::/b", 1);
  const SandboxOptions options = SandboxOptions::FromEnvironment();
  EXPECT_FALSE(options.filter_syscalls || options.restrict_files);
  EXPECT_THAT(options.writable, ::testing::ElementsAre("/a", "/b"));
  unsetenv("NASHSWARM_SANDBOX");
  unsetenv("NASHSWARM_SANDBOX_WRITABLE");
  EXPECT_TRUE(SandboxOptions::FromEnvironment().filter_syscalls);
  EXPECT_EQ(ActiveProtections(options).landlock_abi, 0);
}

}  // namespace
}  // namespace nashswarm::server
