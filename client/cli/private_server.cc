#include "client/cli/private_server.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "client/cli/errors.h"
#include "client/cli/programs.h"
#include "client/cli/rpc.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = ".nashswarm-";
constexpr char kLockName[] = "/lock";
constexpr std::chrono::milliseconds kPoll(10);
// Between mkdtemp and flock a directory looks abandoned; no process takes this long.
constexpr std::time_t kAbandonedAfterSeconds = 60;
constexpr size_t kLogTail = 2000;

absl::StatusOr<std::string> MakeTemporary(std::string pattern) {
  pattern += "XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return ErrnoError(errno, "cannot create " + pattern);
  return pattern;
}

// A socket's path has at most 107 bytes, and ours adds 33 to this.
std::string SocketParent() {
  constexpr size_t kLongest = 70;
  const char* directory = std::getenv("TMPDIR");
  const bool usable = directory != nullptr && *directory == '/' && std::strlen(directory) <= kLongest;
  return usable ? directory : "/tmp";
}

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  if (!path.empty()) fs::remove_all(path, ignored);
}

UniqueFd LockIn(const std::string& directory, int extra_flags) {
  UniqueFd fd(open((directory + kLockName).c_str(), O_RDWR | O_CLOEXEC | extra_flags, 0600));
  if (fd.get() >= 0 && flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  return UniqueFd();
}

// The environment for the server: ours without NASHSWARM_CONFIG, which names a file of the client's settings, without the token,
// which is for another server, and without what makes a server one of many that share their stores.
std::vector<char*> ServerEnvironment() {
  constexpr std::string_view kOurs[] = {"NASHSWARM_CONFIG=", "NASHSWARM_TOKEN=", "NASHSWARM_JOBS=", "NASHSWARM_BLOBS=", "NASHSWARM_ROLE="};
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [text](std::string_view name) { return text.substr(0, name.size()) == name; });
    if (!ours) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  return environment;
}

// In the child, between fork and exec: async-signal-safe calls alone.
[[noreturn]] void BecomeServer(char* const* argv, char* const* environment, int log, pid_t parent) {
  // Its own process group: Ctrl-C goes to us, who end the job first, and its engines can be killed with it.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  RestoreSignals();
  execve(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateServer>> PrivateServer::Start(const PrivateServerOptions& options,
                                                                    Interrupt& interrupt) {
  std::unique_ptr<PrivateServer> server(new PrivateServer(options, interrupt));
  NS_RETURN_IF_ERROR(server->MakeDirectoriesForRun());
  NS_RETURN_IF_ERROR(server->Spawn());
  NS_RETURN_IF_ERROR(server->WaitUntilReady());
  return server;
}

PrivateServer::~PrivateServer() {
  Stop();
  RemoveTree(work_directory_);
  RemoveTree(socket_directory_);
}

absl::Status PrivateServer::MakeDirectoriesForRun() {
  const std::string parent = ParentOf(options_.near);
  NS_RETURN_IF_ERROR(MakeDirectories(parent));
  RemoveAbandonedWork(parent);
  NS_ASSIGN_OR_RETURN(work_directory_, MakeTemporary(JoinPath(parent, kPrefix)));
  lock_ = LockIn(work_directory_, O_CREAT);
  if (!options_.keep_data.empty()) NS_RETURN_IF_ERROR(MakeDirectories(options_.keep_data));
  NS_ASSIGN_OR_RETURN(socket_directory_, MakeTemporary(SocketParent() + "/nashswarm-"));
  return absl::OkStatus();
}

absl::Status PrivateServer::Spawn() {
  const std::string data = options_.keep_data.empty() ? work_directory_ + "/data" : options_.keep_data;
  std::vector<std::string> arguments = {options_.program, "--listen", address(),     "--data",  data,
                                        "--metrics",      "none",     "--info-file", InfoPath()};
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const UniqueFd log(open(LogPath().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (log.get() < 0) return ErrnoError(errno, LogPath());

  const std::vector<char*> environment = ServerEnvironment();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) return ErrnoError(errno, "cannot start " + options_.program);
  if (pid_ == 0) BecomeServer(argv.data(), environment.data(), log.get(), parent);
  setpgid(pid_, pid_);  // also here: whoever comes first
  return absl::OkStatus();
}

absl::Status PrivateServer::WaitUntilReady() {
  const auto deadline = std::chrono::steady_clock::now() + options_.start_limit;
  while (std::chrono::steady_clock::now() < deadline) {
    NS_RETURN_IF_ERROR(CheckAlive());
    if (const auto info = ReadSmallFile(InfoPath(), 1 << 16); info.ok()) {
      const auto json = nlohmann::json::parse(*info, nullptr, false);
      if (json.is_object() && json.contains("grpc")) return absl::OkStatus();
    }
    if (!interrupt_.SleepFor(kPoll)) return interrupt_.Check();
  }
  return MakeError(absl::StatusCode::kUnavailable, kServerEndedReason,
                   "the private server did not start in time" + EndOfLog());
}

bool PrivateServer::Reap() {
  if (pid_ > 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) {
    kill(-pid_, SIGKILL);  // engines it may have left
    pid_ = -1;
  }
  return pid_ < 0;
}

absl::Status PrivateServer::CheckAlive() {
  if (!Reap()) return absl::OkStatus();
  const std::string how = WIFSIGNALED(wait_status_) ? "was ended by signal " + std::to_string(WTERMSIG(wait_status_))
                                                    : "ended with status " + std::to_string(WEXITSTATUS(wait_status_));
  return MakeError(absl::StatusCode::kInternal, kServerEndedReason, "the private server " + how + EndOfLog(),
                   "if memory or disk ran out, free some and run it again; else start nashswarmd by hand and use "
                   "--server");
}

void PrivateServer::Stop() {
  if (pid_ <= 0) return;
  const pid_t group = pid_;
  kill(pid_, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + options_.stop_limit;
  // Not interruptible: a second Ctrl-C must not leave the directory behind.
  while (!Reap() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
  if (pid_ > 0) {
    kill(-group, SIGKILL);
    waitpid(pid_, &wait_status_, 0);
    pid_ = -1;
  }
}

std::string PrivateServer::EndOfLog() const {
  const auto log = ReadSmallFile(LogPath(), 1 << 20);
  if (!log.ok() || log->empty()) return "";
  return "; the end of its log:\n" + log->substr(log->size() > kLogTail ? log->size() - kLogTail : 0);
}

void RemoveAbandonedWork(const std::string& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string path = entry.path().string();
    if (entry.path().filename().string().rfind(kPrefix, 0) != 0) continue;
    struct stat info;
    if (lstat((path + kLockName).c_str(), &info) != 0 || info.st_uid != getuid()) continue;
    if (std::time(nullptr) - info.st_mtime < kAbandonedAfterSeconds) continue;
    if (const UniqueFd lock = LockIn(path, O_NOFOLLOW); lock.get() >= 0) RemoveTree(path);
  }
}

}  // namespace nashswarm::cli
