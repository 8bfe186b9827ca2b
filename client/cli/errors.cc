#include "client/cli/errors.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ostream>

namespace nashswarm::cli {
namespace {

constexpr char kReason[] = "nashswarm/reason";
constexpr char kHint[] = "nashswarm/hint";

constexpr char kUsageReason[] = "USAGE";
constexpr char kInterruptedReason[] = "INTERRUPTED";

std::string PayloadOf(const absl::Status& status, const char* key) {
  auto payload = status.GetPayload(key);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }

// The ErrorInfo among `details`. It travels under google.rpc's type name, so the name is not compared in full.
bool FindErrorInfo(const v1::Error& error, v1::ErrorInfo* info) {
  for (const auto& detail : error.details()) {
    const std::string& url = detail.type_url();
    const bool is_info = url.size() >= 9 && url.compare(url.size() - 9, 9, "ErrorInfo") == 0;
    if (is_info && info->ParseFromString(detail.value())) return true;
  }
  return false;
}

// A stream that the server cuts off carries no details: the reason is in front of the message, "REASON: what happened".
absl::Status WithReasonInMessage(absl::StatusCode code, const std::string& message) {
  const size_t colon = message.find(": ");
  const bool has_reason = code == absl::StatusCode::kDeadlineExceeded && colon != std::string::npos &&
                          std::all_of(message.begin(), message.begin() + static_cast<int64_t>(colon),
                                      [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
  return has_reason ? MakeError(code, message.substr(0, colon), message.substr(colon + 2))
                    : MakeError(code, "", message);
}

absl::Status WithInfo(absl::StatusCode code, const std::string& message, const v1::Error& details) {
  v1::ErrorInfo info;
  if (!FindErrorInfo(details, &info)) return WithReasonInMessage(code, message);
  const auto hint = info.metadata().find("hint");
  return MakeError(code, info.reason(), message, hint == info.metadata().end() ? "" : hint->second);
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view hint) {
  absl::Status status(code, ToAbsl(message));
  if (!reason.empty()) status.SetPayload(kReason, absl::Cord(ToAbsl(reason)));
  if (!hint.empty()) status.SetPayload(kHint, absl::Cord(ToAbsl(hint)));
  return status;
}

absl::Status UsageError(std::string_view message, std::string_view hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, kUsageReason, message, hint);
}

absl::Status InterruptedError(std::string_view message, std::string_view hint) {
  return MakeError(absl::StatusCode::kCancelled, kInterruptedReason, message, hint);
}

absl::Status ErrnoError(int error, std::string_view what) {
  const std::string message = std::string(what) + ": " + std::strerror(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", message);
    case EACCES:
    case EPERM:
    case EROFS:
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_PERMISSION", message,
                       "check the owner and the mode of the path");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message, "free disk space and run it again");
    case EEXIST:
      return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", message);
    default:
      return MakeError(absl::StatusCode::kInternal, "IO_ERROR", message);
  }
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  v1::Error details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return WithInfo(code, status.error_message(), details);
}

absl::Status FromProto(const v1::Error& error) {
  const int code = error.code() == 0 ? static_cast<int>(absl::StatusCode::kUnknown) : error.code();
  return WithInfo(static_cast<absl::StatusCode>(code), error.message(), error);
}

std::string ReasonOf(const absl::Status& status) { return PayloadOf(status, kReason); }
std::string HintOf(const absl::Status& status) { return PayloadOf(status, kHint); }

absl::Status WithHint(const absl::Status& status, std::string_view hint) {
  if (status.ok()) return status;
  return MakeError(status.code(), ReasonOf(status), std::string(status.message()), hint);
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return MakeError(status.code(), ReasonOf(status), std::string(context) + ": " + std::string(status.message()),
                   HintOf(status));
}

int ExitCodeOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == kInterruptedReason) return kExitInterrupted;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return commandline::CodeOfInvalidArgument(reason);
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitAuth;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kResourceExhausted:
      return kExitQuota;
    case absl::StatusCode::kDataLoss:
      return kExitCorrupt;
    default:
      return kExitFailed;
  }
}

nlohmann::json ErrorToJson(const absl::Status& status) {
  return {{"error",
           {{"code", absl::StatusCodeToString(status.code())},
            {"reason", ReasonOf(status)},
            {"message", std::string(status.message())},
            {"hint", HintOf(status)}}}};
}

void PrintError(std::ostream& out, const absl::Status& status, bool color) {
  const char* red = color ? "\x1b[31m" : "";
  const char* bold = color ? "\x1b[1m" : "";
  const char* reset = color ? "\x1b[0m" : "";
  const std::string reason = ReasonOf(status);
  const std::string hint = HintOf(status);
  out << red << "error:" << reset << ' ' << std::string(status.message());
  if (!reason.empty() && reason != kUsageReason && reason != kInterruptedReason) out << " [" << reason << ']';
  out << '\n';
  if (!hint.empty()) out << bold << "hint:" << reset << "  " << hint << '\n';
  out.flush();
}

}  // namespace nashswarm::cli
