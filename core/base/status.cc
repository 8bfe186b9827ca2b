#include "core/base/status.h"

#include <cerrno>
#include <cstring>

#include "core/base/resources.h"

namespace nashswarm {
namespace {

constexpr char kReason[] = "nashswarm/reason";
constexpr char kHint[] = "nashswarm/hint";

std::string PayloadOf(const absl::Status& status, const char* key) {
  auto payload = status.GetPayload(key);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view hint) {
  absl::Status status(code, ToAbsl(message));
  status.SetPayload(kReason, absl::Cord(ToAbsl(reason)));
  if (!hint.empty()) status.SetPayload(kHint, absl::Cord(ToAbsl(hint)));
  return status;
}

std::string ReasonOf(const absl::Status& status) { return PayloadOf(status, kReason); }
std::string HintOf(const absl::Status& status) { return PayloadOf(status, kHint); }

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return MakeError(status.code(), ReasonOf(status), absl::StrCat(ToAbsl(context), ": ", status.message()),
                   HintOf(status));
}

absl::Status ErrnoError(int error, std::string_view what) {
  const std::string message = absl::StrCat(ToAbsl(what), ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", message);
    case EACCES:
    case EPERM:
    case EROFS:
      return MakeError(absl::StatusCode::kPermissionDenied, "FILE_PERMISSION", message);
    case ENOSPC:
    case EDQUOT:
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message, "free disk space and try again");
    case EFBIG:  // RLIMIT_FSIZE, or more than the file system can hold in one file
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message,
                       "the file is larger than the process may write: raise the disk allowance of a task");
    case ENOMEM:
      return Annotate(OutOfMemoryError(), message);
    case EEXIST:
      return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", message);
    default:
      return MakeError(absl::StatusCode::kUnavailable, "IO_ERROR", message);
  }
}

}  // namespace nashswarm
