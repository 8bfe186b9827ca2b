// The exit code that says an error to scripts (base/commandline/exit_code.h).
#ifndef NASHSWARM_CORE_ENGINE_EXIT_CODE_H_
#define NASHSWARM_CORE_ENGINE_EXIT_CODE_H_

#include "absl/status/status.h"

namespace nashswarm::engine {

// 0 ok, 1 failed, 2 usage, 3 not found, 6 quota or space, 7 corrupt data.
int ExitCodeOf(const absl::Status& status);

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_EXIT_CODE_H_
