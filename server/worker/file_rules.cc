#include "server/worker/file_rules.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace nashswarm::server {
namespace {

// From the kernel's include/uapi/linux/landlock.h: Debian 12's copy ends at version 2. The numbers of the system calls are
// the same on every processor.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr unsigned int kAskVersion = 1;
constexpr int kPathBeneath = 1;
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3, kRemoveDir = 1 << 4,
                   kRemoveFile = 1 << 5, kMakeDir = 1 << 7, kMakeFile = 1 << 8, kRefer = 1 << 13,
                   kTruncate = 1 << 14, kDeviceControl = 1 << 15;
constexpr uint64_t kFirstVersion = (1 << 13) - 1;  // bits 0 to 12
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kDeviceControl;  // the others are of directories
constexpr uint64_t kTcp = 3;        // bind and connect
constexpr uint64_t kOutside = 3;    // abstract sockets of, and signals to, processes outside

struct RulesetAttributes {
  uint64_t files, network, scopes;
};
struct PathAttributes {
  uint64_t access;
  int32_t parent;
} __attribute__((packed));

uint64_t HandledBy(int abi) {
  uint64_t handled = kFirstVersion;
  if (abi >= 2) handled |= kRefer;
  if (abi >= 3) handled |= kTruncate;
  if (abi >= 5) handled |= kDeviceControl;
  return handled;
}

}  // namespace

int FileRules::AbiVersion() {
  const long version = syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  return version < 0 ? 0 : static_cast<int>(version);
}

int FileRules::Install() const {
  const uint64_t handled = HandledBy(abi_);
  const RulesetAttributes attributes = {handled, abi_ >= 4 ? kTcp : 0, abi_ >= 6 ? kOutside : 0};
  const size_t size = abi_ >= 6 ? sizeof(attributes) : abi_ >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
  const int ruleset = static_cast<int>(syscall(kCreateRuleset, &attributes, size, 0));
  if (ruleset < 0) return errno;
  int error = 0;
  for (const Rule& rule : rules_) {
    const int fd = open(rule.path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0) continue;
    uint64_t access = kReadFile | kReadDir;
    if (rule.access == Access::kRun) access |= kExecute;
    if (rule.access == Access::kWrite) {
      // No symbolic links, pipes, sockets or devices: what lies there is read by the server afterwards.
      access |= kWriteFile | kTruncate | kRefer | kMakeFile | kMakeDir | kRemoveFile | kRemoveDir;
    }
    struct stat info;
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode)) access &= kOfFiles;
    const PathAttributes path = {access & handled, fd};
    if (syscall(kAddRule, ruleset, kPathBeneath, &path, 0) != 0) error = errno;
    close(fd);
    if (error != 0) break;
  }
  if (error == 0 && syscall(kRestrictSelf, ruleset, 0) != 0) error = errno;
  close(ruleset);
  return error;
}

}  // namespace nashswarm::server
