#include "server/worker/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>

#include "core/base/status.h"
#include "server/worker/sandbox.h"

namespace nashswarm::server {
namespace {

absl::Status SpawnError(const std::string& program, const char* step, int error) {
  return MakeError(absl::StatusCode::kUnavailable, "SPAWN_FAILED",
                   absl::StrCat("cannot start ", program, ": ", step, ": ", std::strerror(error)),
                   "check --engine and the machine's process and memory limits");
}

void CloseAll(std::initializer_list<int> fds) {
  for (const int fd : fds) {
    if (fd >= 0) close(fd);
  }
}

// glibc 2.36 declares pidfd_open without C linkage, so C++ cannot use its wrapper. The descriptor is close-on-exec.
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// Why a child did not become the program. `step` is a literal, and the parent's copy of it is at the same address.
struct Failure {
  const char* step;
  int error;
};

// In the child, between fork and exec: only async-signal-safe calls. `failed` takes a Failure to the parent.
[[noreturn]] void ExecChild(char* const* argv, char* const* envp, Sandbox* sandbox, pid_t parent, int in, int out, int err,
                            int failed) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // nashswarmd blocks its signals in every thread
  signal(SIGPIPE, SIG_DFL);
  const char* step = nullptr;
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) step = "dup2";
  if (step == nullptr && sandbox != nullptr) step = sandbox->Enter();
  if (step == nullptr) {
    execve(argv[0], argv, envp);
    step = "exec";
  }
  const Failure failure = {step, errno};
  const ssize_t written = write(failed, &failure, sizeof(failure));
  (void)written;  // nothing is left to do about it
  _exit(127);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Fork(const std::vector<std::string>& arguments,
                                                   const std::vector<std::string>& environment, Sandbox* sandbox) {
  std::vector<char*> argv, envp;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  int out[2] = {-1, -1}, err[2] = {-1, -1}, failed[2] = {-1, -1};
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (in < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC) != 0) {
    const int error = errno;
    CloseAll({in, out[0], out[1], err[0], err[1], failed[0], failed[1]});
    return SpawnError(arguments[0], "pipe", error);
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) ExecChild(argv.data(), envp.data(), sandbox, parent, in, out[1], err[1], failed[1]);
  const int fork_error = errno;
  CloseAll({in, out[1], err[1], failed[1]});
  if (pid < 0) {
    CloseAll({out[0], err[0], failed[0]});
    return SpawnError(arguments[0], "fork", fork_error);
  }
  setpgid(pid, pid);  // also here: whoever comes first, Kill() finds the group
  Failure failure = {};
  ssize_t n;
  do {
    n = read(failed[0], &failure, sizeof(failure));  // ends with exec, which closes the other side
  } while (n < 0 && errno == EINTR);
  close(failed[0]);
  const int pid_fd = PidfdOpen(pid);
  if (n > 0 || pid_fd < 0) {
    const int error = n > 0 ? failure.error : errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    CloseAll({out[0], err[0], pid_fd});
    return SpawnError(arguments[0], n > 0 ? failure.step : "pidfd_open", error);
  }
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  return std::make_unique<ChildProcess>(pid, pid_fd, out[0], err[0]);
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (!reaped_) {
    Kill();
    Wait();
  }
  CloseAll({pid_fd_, out_, err_});
}

void ChildProcess::Kill() {
  if (!reaped_) kill(-pid_, SIGKILL);
}

int ChildProcess::Wait() {
  // Look without reaping first: as long as the leader is a zombie its group id cannot be given to strangers.
  siginfo_t info;
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  kill(-pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  return status;
}

ProcessSpawner::ProcessSpawner() : thread_([this] { Loop(); }) {}

ProcessSpawner::~ProcessSpawner() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void ProcessSpawner::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || !requests_.empty(); });
    if (requests_.empty()) return;
    std::function<void()> request = std::move(requests_.front());
    requests_.pop_front();
    lock.unlock();
    request();
    lock.lock();
  }
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ProcessSpawner::Spawn(const std::vector<std::string>& arguments,
                                                                    const std::vector<std::string>& environment,
                                                                    Sandbox* sandbox) {
  std::promise<absl::StatusOr<std::unique_ptr<ChildProcess>>> promise;
  auto result = promise.get_future();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back([&] { promise.set_value(Fork(arguments, environment, sandbox)); });
  }
  wake_.notify_one();
  return result.get();
}

}  // namespace nashswarm::server
