#include "server/worker/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_split.h"
#include "core/base/file.h"

namespace nashswarm::server {
namespace {

namespace fs = std::filesystem;

// AddressSanitizer maps terabytes of shadow memory, and its leak check looks at the process through ptrace.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// A checkpoint has at most some hundred weight files, each open only while it is mapped.
constexpr rlim_t kOpenFiles = 4096;
// One byte, not none: too small for any core file, and the one value at which the kernel does not start a program that
// core_pattern pipes to either (see core(5) and the kernel's fs/coredump.c).
constexpr rlim_t kCoreBytes = 1;
// From 0 to 1000. Far above the server's 0, below what an operator sets to say "this one first".
constexpr char kOomScore[] = "800";
constexpr unsigned int kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC
constexpr int kMostDescriptors = 1 << 16;

// Programs and libraries. Symbolic links are followed before anything is checked, so /etc/alternatives need not be here.
constexpr const char* kRunnable[] = {"/usr", "/bin", "/lib", "/lib64"};
constexpr const char* kReadable[] = {
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/proc/self",  // opened by the child, so this is the child's own and no other's
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory",  // C library and OpenBLAS
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/dev/urandom", "/dev/random"};

// Sets both limits, so that the child cannot take it back; never above what it has.
bool Limit(__rlimit_resource resource, rlim_t value) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0) return false;
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = std::min(limit.rlim_max, value);
  return setrlimit(resource, &limit) == 0;
}

void RaiseOomScore() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t written = write(fd, kOomScore, sizeof(kOomScore) - 1);
  (void)written;  // a container may forbid it
  close(fd);
}

void CloseInheritedAtExec() {
  if (syscall(SYS_close_range, 3u, ~0u, kCloseOnExec) == 0) return;
  for (int fd = 3; fd < kMostDescriptors; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
}

}  // namespace

SandboxOptions SandboxOptions::FromEnvironment() {
  SandboxOptions options;
  if (const char* value = std::getenv("NASHSWARM_SANDBOX"); value != nullptr && std::string_view(value) == "off") {
    options.filter_syscalls = options.restrict_files = false;
  }
  if (const char* paths = std::getenv("NASHSWARM_SANDBOX_WRITABLE")) {
    options.writable = absl::StrSplit(paths, ':', absl::SkipEmpty());
  }
  return options;
}

Protections ActiveProtections(const SandboxOptions& options) {
  Protections active;
  active.syscall_filter = options.filter_syscalls && !kSanitized && SyscallFilter::IsAvailable();
  active.landlock_abi = options.restrict_files ? FileRules::AbiVersion() : 0;
  return active;
}

Sandbox::Sandbox(const std::string& program, const std::string& directory, const TaskLimits& limits,
                 const SandboxOptions& options)
    : limits_(limits), active_(ActiveProtections(options)) {
  for (const char* path : kRunnable) files_.AllowRun(path);
  for (const char* path : kReadable) files_.AllowRead(path);
  files_.AllowRun(program);
  files_.AllowWrite("/dev/null");
  files_.AllowRead(directory);
  files_.AllowWrite(JoinPath(directory, "out"));
  for (const std::string& path : options.writable) files_.AllowWrite(path);
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (!it->is_symlink(error)) continue;
    const fs::path target = fs::canonical(it->path(), error);
    if (!error) files_.AllowRead(target.string());
    error.clear();  // a dangling link is the engine's to complain about
  }
}

const char* Sandbox::Enter() {
  umask(077);
  RaiseOomScore();
  if (!Limit(RLIMIT_CORE, kCoreBytes)) return "core limit";
  if (!Limit(RLIMIT_NOFILE, kOpenFiles)) return "file limit";
  if (limits_.memory_bytes > 0 && !kSanitized && !Limit(RLIMIT_DATA, static_cast<rlim_t>(limits_.memory_bytes))) {
    return "memory limit";
  }
  if (limits_.file_bytes > 0) {
    signal(SIGXFSZ, SIG_IGN);  // a write past the limit is an error to report, not a death
    if (!Limit(RLIMIT_FSIZE, static_cast<rlim_t>(limits_.file_bytes))) return "file size limit";
  }
  CloseInheritedAtExec();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
  if (active_.landlock_abi > 0) {
    if ((errno = files_.Install()) != 0) return "landlock";
  }
  if (active_.syscall_filter) {
    if ((errno = calls_.Install()) != 0) return "seccomp";
  }
  return nullptr;
}

}  // namespace nashswarm::server
