// An engine that tries one thing it should not be able to do and says how that went: `sandbox_probe task DIR`, with the thing
// in DIR/probe as "what argument". The result line has the errno of the attempt, 0 when it succeeded. Plain C calls alone.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

long ErrnoOf(long result) { return result < 0 ? errno : 0; }

long List(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return errno;
  closedir(directory);
  return 0;
}

long ReadAFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  char byte;
  return ErrnoOf(fd < 0 ? fd : read(fd, &byte, 1));
}

long WriteAFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0666);
  return ErrnoOf(fd < 0 ? fd : write(fd, "x", 1));
}

// Writes until an error comes, or ten times the limit is there.
long Fill(const std::string& path, long bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0666);
  const std::string block(4096, 'x');
  for (long written = 0; written < bytes; written += 4096) {
    if (write(fd, block.data(), block.size()) < 0) return errno;
  }
  return 0;
}

long Allocate(long bytes) {
  try {
    std::vector<char> memory(static_cast<size_t>(bytes), 1);  // written to, so it is real
    return memory[memory.size() / 2] == 1 ? 0 : EIO;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

// A mapping for reading does not count as memory of this process.
long MapFile(const std::string& path, long bytes) {
  const int fd = open(path.c_str(), O_RDONLY);
  return mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0;
}

// What a writer of files may want to do with a path beside writing to it.
long Change(const std::string& what, const std::string& path) {
  const std::string other = path + "-2";
  if (what == "unlink") return ErrnoOf(unlink(path.c_str()));
  if (what == "rmdir") return ErrnoOf(rmdir(path.c_str()));
  if (what == "mkdir") return ErrnoOf(mkdir(path.c_str(), 0777));
  if (what == "link") return ErrnoOf(link(path.c_str(), other.c_str()));
  if (what == "rename") return ErrnoOf(rename(path.c_str(), other.c_str()));
  if (what == "symlink") return ErrnoOf(symlink("/", path.c_str()));
  if (what == "fifo") return ErrnoOf(mkfifo(path.c_str(), 0666));
  if (what == "socket-file") return ErrnoOf(mknod(path.c_str(), S_IFSOCK | 0666, 0));
  if (what == "device") return ErrnoOf(mknod(path.c_str(), S_IFCHR | 0666, 0));
  if (what == "block-device") return ErrnoOf(mknod(path.c_str(), S_IFBLK | 0666, 0));
  return -1;
}

// Of a file of ours; comes back only when it cannot.
long Execute(const std::string& path) {
  char* const arguments[] = {const_cast<char*>(path.c_str()), nullptr};
  return ErrnoOf(execve(path.c_str(), arguments, environ));
}

long Bind() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ErrnoOf(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
}

// 1 when a signal is blocked, 2 when SIGPIPE is not as it was at the beginning of time.
long Signals() {
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  for (int signal = 1; signal < 32; ++signal) {
    if (sigismember(&blocked, signal) == 1) return 1;
  }
  struct sigaction action;
  sigaction(SIGPIPE, nullptr, &action);
  return action.sa_handler == SIG_DFL ? 0 : 2;
}

long ParentDeathSignal() {
  int signal = 0;
  prctl(PR_GET_PDEATHSIG, &signal);
  return signal;
}

long OpenDescriptors() {
  long count = 0;
  for (int fd = 3; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

long SystemCall(const std::string& name, long argument) {
  // Seized, not attached to: a sandbox that lets it happen must not leave the test stopped.
  if (name == "ptrace") return ErrnoOf(syscall(SYS_ptrace, PTRACE_SEIZE, argument, 0, 0));
  if (name == "io_uring") return ErrnoOf(syscall(425, 1, nullptr));
  if (name == "unshare") return ErrnoOf(unshare(CLONE_NEWUSER));
  if (name == "clone") return ErrnoOf(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) == 0 ? (_exit(0), 0) : -1);
  if (name == "kill") return ErrnoOf(kill(static_cast<pid_t>(argument), 0));
  if (name == "keyctl") return ErrnoOf(syscall(SYS_keyctl, 0, -3, 0));
  if (name == "bpf") return ErrnoOf(syscall(SYS_bpf, 0, nullptr, 0));
  if (name == "setrlimit") {
    rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    return ErrnoOf(setrlimit(RLIMIT_CORE, &limit));  // no change, yet refused
  }
  if (name == "x32") return ErrnoOf(syscall(0x40000000 + SYS_getpid));
  if (name == "readv") {
    char byte;
    iovec local = {&byte, 1}, remote = {environ, 1};
    return ErrnoOf(process_vm_readv(static_cast<pid_t>(argument), &local, 1, &remote, 1, 0));
  }
  return -1;
}

long Limits(const std::string& name) {
  rlimit limit;
  getrlimit(name == "core" ? RLIMIT_CORE : name == "files" ? RLIMIT_NOFILE : RLIMIT_DATA, &limit);
  return limit.rlim_max == RLIM_INFINITY ? -1 : static_cast<long>(limit.rlim_max);
}

long OomScore() {
  long score = 0;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

long UmaskOf() {
  const mode_t mask = umask(0);
  umask(mask);
  return static_cast<long>(mask);
}

long Die(const std::string& how) {
  if (how == "segv") raise(SIGSEGV);
  if (how == "abort") std::abort();
  if (how == "kill") raise(SIGKILL);
  if (how == "bad_alloc") std::thread([] { throw std::bad_alloc(); }).join();
  if (how == "exit") _exit(7);
  return 0;
}

}  // namespace

int main(int, char** argv) {
  const std::string directory = argv[2];
  std::ifstream in(directory + "/probe");
  std::string what, text;
  long number = 0;
  in >> what >> text >> number;
  const std::string path = text.empty() || text[0] == '/' ? text : directory + "/" + text;
  long value = -1;
  if (what == "read") value = ReadAFile(path);
  if (what == "write") value = WriteAFile(path);
  if (what == "fill") value = Fill(path, number);
  if (what == "list") value = List(path);
  if (what == "truncate") value = ErrnoOf(truncate(path.c_str(), 0));
  if (what == "socket") value = ErrnoOf(socket(text == "unix" ? AF_UNIX : text == "inet" ? AF_INET : AF_NETLINK, SOCK_DGRAM, 0));
  if (what == "allocate") value = Allocate(number);
  if (what == "map") value = MapFile(path, number);
  if (what == "call") value = SystemCall(text, number);
  if (what == "limit") value = Limits(text);
  if (what == "umask") value = UmaskOf();
  if (what == "oom") value = OomScore();
  if (what == "descriptors") value = OpenDescriptors();
  if (what == "change") {
    std::string target;
    std::ifstream again(directory + "/probe");
    again >> what >> text >> target;
    value = Change(text, target[0] == '/' ? target : directory + "/" + target);
  }
  if (what == "execute") value = Execute(path);
  if (what == "bind") value = Bind();
  if (what == "signals") value = Signals();
  if (what == "death") value = ParentDeathSignal();
  if (what == "group") value = getpgid(0) == getpid() ? 1 : 0;
  if (what == "stdin") value = read(0, &number, 1);
  if (what == "privileges") value = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  if (what == "environment") value = std::getenv(text.c_str()) != nullptr;
  if (what == "die") value = Die(text);
  if (what == "threads") {
    std::thread([&value] { value = 0; }).join();
  }
  std::printf("{\"event\":\"result\",\"value\":%ld}\n", value);
  return 0;
}
