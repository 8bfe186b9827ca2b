// The seccomp filter of an engine: system calls it never needs fail with EPERM, so that a checkpoint which takes the engine
// over finds no network, no other process and no kernel interface to go on from.
#ifndef NASHSWARM_SERVER_WORKER_SYSCALL_FILTER_H_
#define NASHSWARM_SERVER_WORKER_SYSCALL_FILTER_H_

#include <linux/filter.h>
#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace nashswarm::server {

// A denylist: what numeric libraries and the C library call changes with their versions, what an attack needs does not.
class SyscallFilter {
 public:
  SyscallFilter();

  // Whether this kernel and this processor can run it.
  static bool IsAvailable();

  // In the child, after PR_SET_NO_NEW_PRIVS; async-signal-safe. The filter stays over exec. Returns 0 or errno.
  int Install();

  const std::vector<sock_filter>& program() const { return program_; }  // for tests

 private:
  void Append(unsigned short code, unsigned int k, unsigned char if_true = 0, unsigned char if_false = 0);
  void Deny(long number, unsigned int action);
  void DenyUnlessOwnProcess(long number);
  void DenyUnlessZero(long number, int argument);
  void DenyFlags(long number, int argument, unsigned int flags);

  std::vector<sock_filter> program_;
  std::vector<size_t> own_pid_;  // instructions whose constant becomes the child's process id
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_SYSCALL_FILTER_H_
