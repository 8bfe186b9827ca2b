#include "server/worker/syscall_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace nashswarm::server {
namespace {

#if defined(__x86_64__)
constexpr unsigned int kArchitecture = AUDIT_ARCH_X86_64;
constexpr unsigned int kX32Bit = 0x40000000;  // calls of the x32 ABI: the same kernel functions under other numbers
#elif defined(__aarch64__)
constexpr unsigned int kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned int kArchitecture = 0;
#endif

constexpr unsigned int kRefuse = SECCOMP_RET_ERRNO | EPERM;
// glibc takes this answer to clone3 as "old kernel" and uses clone, whose flags a filter can see.
constexpr unsigned int kUnknownCall = SECCOMP_RET_ERRNO | ENOSYS;

// Debian 12's headers are older than some kernels it may run on; numbers above 423 are the same on every processor.
constexpr long kIoUringSetup = 425, kIoUringEnter = 426, kIoUringRegister = 427, kOpenTree = 428, kMoveMount = 429,
               kFsopen = 430, kFsconfig = 431, kFsmount = 432, kFspick = 433, kPidfdGetfd = 438, kMountSetattr = 442,
               kPidfdSendSignal = 424, kClone3 = 435, kOpenTreeAttr = 467;

constexpr long kDenied[] = {
    SYS_socket,  // of every family: the engine talks through pipes it inherits
    // io_uring opens and connects sockets without the system calls for it.
    kIoUringSetup, kIoUringEnter, kIoUringRegister,
    // Other processes of the same user.
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, kPidfdGetfd, kPidfdSendSignal, SYS_tkill,
    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
    // Files by inode number, past every directory on the way.
    SYS_open_by_handle_at, SYS_name_to_handle_at,
    // Mounts, roots and namespaces.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, kOpenTree, kOpenTreeAttr, kMoveMount, kFsopen,
    kFsconfig, kFsmount, kFspick, kMountSetattr,
    // Large and seldom used parts of the kernel.
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct, SYS_quotactl,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_syslog,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
    SYS_setrlimit,
};

constexpr unsigned int kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

constexpr unsigned int kNumberAt = offsetof(seccomp_data, nr), kArchitectureAt = offsetof(seccomp_data, arch);
// Both processors are little-endian: the low half comes first.
constexpr unsigned int LowHalfOf(int argument) { return offsetof(seccomp_data, args) + 8u * argument; }

}  // namespace

void SyscallFilter::Append(unsigned short code, unsigned int k, unsigned char if_true, unsigned char if_false) {
  program_.push_back({code, if_true, if_false, k});
}

void SyscallFilter::Deny(long number, unsigned int action) {
  Append(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned int>(number), 0, 1);
  Append(BPF_RET | BPF_K, action);
}

void SyscallFilter::DenyUnlessOwnProcess(long number) {
  Append(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned int>(number), 0, 4);
  Append(BPF_LD | BPF_W | BPF_ABS, LowHalfOf(0));  // a pid_t: the kernel looks at 32 bits
  own_pid_.push_back(program_.size());
  Append(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
  Append(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  Append(BPF_RET | BPF_K, kRefuse);
}

void SyscallFilter::DenyUnlessZero(long number, int argument) {
  Append(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned int>(number), 0, 6);
  Append(BPF_LD | BPF_W | BPF_ABS, LowHalfOf(argument));
  Append(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2);
  Append(BPF_LD | BPF_W | BPF_ABS, LowHalfOf(argument) + 4);
  Append(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
  Append(BPF_RET | BPF_K, kRefuse);
  Append(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

void SyscallFilter::DenyFlags(long number, int argument, unsigned int flags) {
  Append(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned int>(number), 0, 4);
  Append(BPF_LD | BPF_W | BPF_ABS, LowHalfOf(argument));
  Append(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1);
  Append(BPF_RET | BPF_K, kRefuse);
  Append(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

SyscallFilter::SyscallFilter() {
  // The same number is another call on another architecture (a 64-bit process may make 32-bit calls): look at it first.
  Append(BPF_LD | BPF_W | BPF_ABS, kArchitectureAt);
  Append(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  Append(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  Append(BPF_LD | BPF_W | BPF_ABS, kNumberAt);
#if defined(__x86_64__)
  Append(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1);
  Append(BPF_RET | BPF_K, kRefuse);
#endif
  for (const long number : kDenied) Deny(number, kRefuse);
  Deny(kClone3, kUnknownCall);
  // These reload the accumulator, but only for their own number, and then end.
  DenyFlags(SYS_clone, 0, kNamespaces);
  DenyUnlessZero(SYS_prlimit64, 2);  // reading limits is fine, setting them (of any process) is not
  DenyUnlessOwnProcess(SYS_kill);    // abort() and a crash handler signal their own process
  DenyUnlessOwnProcess(SYS_tgkill);
  Append(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

bool SyscallFilter::IsAvailable() {
  const unsigned int action = SECCOMP_RET_ERRNO;
  return kArchitecture != 0 && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int SyscallFilter::Install() {
  const unsigned int self = static_cast<unsigned int>(getpid());
  for (const size_t i : own_pid_) program_[i].k = self;
  const sock_fprog program = {static_cast<unsigned short>(program_.size()), program_.data()};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 ? 0 : errno;
}

}  // namespace nashswarm::server
