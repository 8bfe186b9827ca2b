// The filter's program, run here for every call it is about: what a kernel or a container refuses anyway says nothing
// about it.
#include "server/worker/syscall_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

constexpr unsigned int kRefused = SECCOMP_RET_ERRNO | EPERM;

#if defined(__x86_64__)
constexpr unsigned int kArchitecture = AUDIT_ARCH_X86_64, kAnother = AUDIT_ARCH_I386;
#else
constexpr unsigned int kArchitecture = AUDIT_ARCH_AARCH64, kAnother = AUDIT_ARCH_ARM;
#endif

seccomp_data CallOf(long number, uint64_t first = 0, uint64_t third = 0) {
  seccomp_data call = {};
  call.nr = static_cast<int>(number);
  call.arch = kArchitecture;
  call.args[0] = first;
  call.args[2] = third;
  return call;
}

// The subset of BPF that the filter is written in.
unsigned int AnswerOf(const std::vector<sock_filter>& program, const seccomp_data& call) {
  unsigned int accumulator = 0;
  for (size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    const auto jump = [&](bool condition) { at += condition ? step.jt : step.jf; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + step.k, sizeof(accumulator));
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(accumulator == step.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(accumulator >= step.k);
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        jump((accumulator & step.k) != 0);
        break;
      case BPF_RET | BPF_K:
        return step.k;
      default:
        ADD_FAILURE() << "an instruction this test does not know: " << step.code;
        return 0;
    }
  }
  ADD_FAILURE() << "the program ends without an answer";
  return 0;
}

class SyscallFilterTest : public ::testing::Test {
 protected:
  unsigned int Answer(const seccomp_data& call) { return AnswerOf(filter_.program(), call); }
  SyscallFilter filter_;
};

TEST_F(SyscallFilterTest, RefusesEveryCallOfTheList) {
  const std::pair<const char*, long> calls[] = {
      {"socket", SYS_socket},
      {"io_uring_setup", 425},
      {"io_uring_enter", 426},
      {"io_uring_register", 427},
      {"ptrace", SYS_ptrace},
      {"process_vm_readv", SYS_process_vm_readv},
      {"process_vm_writev", SYS_process_vm_writev},
      {"kcmp", SYS_kcmp},
      {"pidfd_getfd", 438},
      {"pidfd_send_signal", 424},
      {"tkill", SYS_tkill},
      {"rt_sigqueueinfo", SYS_rt_sigqueueinfo},
      {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo},
      {"open_by_handle_at", SYS_open_by_handle_at},
      {"name_to_handle_at", SYS_name_to_handle_at},
      {"mount", SYS_mount},
      {"umount2", SYS_umount2},
      {"pivot_root", SYS_pivot_root},
      {"chroot", SYS_chroot},
      {"unshare", SYS_unshare},
      {"setns", SYS_setns},
      {"open_tree", 428},
      {"open_tree_attr", 467},
      {"move_mount", 429},
      {"fsopen", 430},
      {"fsconfig", 431},
      {"fsmount", 432},
      {"fspick", 433},
      {"mount_setattr", 442},
      {"bpf", SYS_bpf},
      {"perf_event_open", SYS_perf_event_open},
      {"userfaultfd", SYS_userfaultfd},
      {"keyctl", SYS_keyctl},
      {"add_key", SYS_add_key},
      {"request_key", SYS_request_key},
      {"init_module", SYS_init_module},
      {"finit_module", SYS_finit_module},
      {"delete_module", SYS_delete_module},
      {"kexec_load", SYS_kexec_load},
      {"swapon", SYS_swapon},
      {"swapoff", SYS_swapoff},
      {"reboot", SYS_reboot},
      {"acct", SYS_acct},
      {"quotactl", SYS_quotactl},
      {"settimeofday", SYS_settimeofday},
      {"clock_settime", SYS_clock_settime},
      {"adjtimex", SYS_adjtimex},
      {"sethostname", SYS_sethostname},
      {"setdomainname", SYS_setdomainname},
      {"syslog", SYS_syslog},
      {"setrlimit", SYS_setrlimit},
#ifdef SYS_kexec_file_load
      {"kexec_file_load", SYS_kexec_file_load},
#endif
#ifdef SYS_iopl
      {"iopl", SYS_iopl},
      {"ioperm", SYS_ioperm},
      {"modify_ldt", SYS_modify_ldt},
#endif
  };
  for (const auto& [name, number] : calls) EXPECT_EQ(Answer(CallOf(number)), kRefused) << name;
  EXPECT_EQ(Answer(CallOf(435)), SECCOMP_RET_ERRNO | ENOSYS) << "clone3";
}

TEST_F(SyscallFilterTest, LetsWhatAnEngineNeedsThrough) {
  for (const long number :
       {SYS_read, SYS_write, SYS_openat, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_futex, SYS_brk,
        SYS_execve, SYS_exit_group, SYS_renameat2, SYS_ftruncate, SYS_rt_sigaction, SYS_prctl, SYS_getrandom}) {
    EXPECT_EQ(Answer(CallOf(number)), SECCOMP_RET_ALLOW) << number;
  }
}

TEST_F(SyscallFilterTest, KillsCallsOfAnotherArchitecture) {
  seccomp_data call = CallOf(SYS_read);
  call.arch = kAnother;
  EXPECT_EQ(Answer(call), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
  EXPECT_EQ(Answer(CallOf(0x40000000 + SYS_read)), kRefused) << "the x32 ABI";
#endif
}

TEST_F(SyscallFilterTest, ThreadsMayStartAndNamespacesMayNot) {
  constexpr uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  EXPECT_EQ(Answer(CallOf(SYS_clone, kThread)), SECCOMP_RET_ALLOW);
  for (const uint64_t flag :
       {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET}) {
    EXPECT_EQ(Answer(CallOf(SYS_clone, kThread | flag)), kRefused) << flag;
  }
}

TEST_F(SyscallFilterTest, LimitsAreReadAndNeverSet) {
  EXPECT_EQ(Answer(CallOf(SYS_prlimit64, 0, 0)), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Answer(CallOf(SYS_prlimit64, 0, 0x7fff1000)), kRefused);
  EXPECT_EQ(Answer(CallOf(SYS_prlimit64, 0, uint64_t{5} << 32)), kRefused) << "a pointer whose low half is zero";
}

TEST_F(SyscallFilterTest, SignalsReachNobodyUntilTheProcessIsKnown) {
  // Install fills the child's process id in; before, the one allowed is 0.
  for (const long number : {SYS_kill, SYS_tgkill}) {
    for (const uint64_t pid : {uint64_t{1}, uint64_t{12345}, uint64_t{0xffffffff}}) {
      EXPECT_EQ(Answer(CallOf(number, pid)), kRefused) << number << " " << pid;
    }
  }
}

}  // namespace
}  // namespace nashswarm::server
