// The exit codes that say an error to scripts: the same fault has the same code, whichever program finds it.
#ifndef NASHSWARM_BASE_COMMANDLINE_EXIT_CODE_H_
#define NASHSWARM_BASE_COMMANDLINE_EXIT_CODE_H_

#include <string_view>

namespace nashswarm::commandline {

// Stable: scripts rely on them.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitAuth = 4,
  kExitUnreachable = 5,
  kExitQuota = 6,  // or space
  kExitCorrupt = 7,
  kExitInterrupted = 130,
};

// Of an INVALID_ARGUMENT: usage where its reason is about what somebody typed, corrupt where it is about damage. The others are about
// files that are whole, and that we cannot use.
ExitCode CodeOfInvalidArgument(std::string_view reason);

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_EXIT_CODE_H_
