// What an engine may do. It reads checkpoints that strangers upload, so it is treated as if one of them had taken it over: it
// gets its task's files and a share of the machine, and neither the network nor the server's secrets.
//
//   limit of private memory    RLIMIT_DATA   always, when given
//   limit of a file's size     RLIMIT_FSIZE  always, when given
//   no core files, few files   rlimits       always: weights and texts do not land in a core file
//   no inherited descriptors   close_range   always
//   no new privileges          prctl         always
//   system calls               seccomp       where the kernel has it (syscall_filter.h)
//   files                      Landlock      where the kernel has it, Linux 5.13 on (file_rules.h)
//   first to go without memory oom_score_adj where /proc is writable
#ifndef NASHSWARM_SERVER_WORKER_SANDBOX_H_
#define NASHSWARM_SERVER_WORKER_SANDBOX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "server/worker/file_rules.h"
#include "server/worker/syscall_filter.h"

namespace nashswarm::server {

// Of one task; 0: none.
struct TaskLimits {
  // Private writable memory: heap, thread stacks, static data. Read-only mappings of weight files are not counted, which is
  // why it is not RLIMIT_AS: a checkpoint larger than the machine's memory is read through such a mapping.
  int64_t memory_bytes = 0;
  int64_t file_bytes = 0;  // the largest file it may write
};

struct SandboxOptions {
  bool filter_syscalls = true;
  bool restrict_files = true;
  std::vector<std::string> writable;  // directories besides the task's own out/

  // NASHSWARM_SANDBOX_WRITABLE: a list with ':' between, for engines that keep records, as the tests' do.
  // NASHSWARM_SANDBOX=off: neither seccomp nor Landlock, for systems that run nashswarmd under an emulator of Linux.
  static SandboxOptions FromEnvironment();
};

// What holds on this kernel with these options.
struct Protections {
  bool syscall_filter = false;
  int landlock_abi = 0;
};
Protections ActiveProtections(const SandboxOptions& options);

// Made for one child before the fork.
class Sandbox {
 public:
  // `program` is run in the task directory `directory` (absolute): it reads all of it and what symbolic links in it point to,
  // and writes below out/ alone. Its inputs may be hard links into the blob store, which it must not be able to change.
  Sandbox(const std::string& program, const std::string& directory, const TaskLimits& limits, const SandboxOptions& options);

  // In the child, between fork and exec, as its last step before exec: only async-signal-safe calls. Descriptors from 3 on close at exec.
  // Returns nullptr, or the name of the step that failed with errno set.
  const char* Enter();

 private:
  TaskLimits limits_;
  Protections active_;
  FileRules files_;
  SyscallFilter calls_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_SANDBOX_H_
