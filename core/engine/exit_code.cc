#include "core/engine/exit_code.h"

#include "base/commandline/exit_code.h"
#include "core/base/status.h"

namespace nashswarm::engine {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return commandline::kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return commandline::CodeOfInvalidArgument(ReasonOf(status));
    case absl::StatusCode::kNotFound:
      return commandline::kExitNotFound;
    case absl::StatusCode::kResourceExhausted:
      return commandline::kExitQuota;
    case absl::StatusCode::kDataLoss:
      return commandline::kExitCorrupt;
    default:
      return commandline::kExitFailed;
  }
}

}  // namespace nashswarm::engine
