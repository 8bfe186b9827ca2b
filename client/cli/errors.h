// Errors as the user meets them: what happened, why, what to do next, and the exit code that says it to scripts.
#ifndef NASHSWARM_CLIENT_CLI_ERRORS_H_
#define NASHSWARM_CLIENT_CLI_ERRORS_H_

#include <grpcpp/grpcpp.h>

#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/commandline/exit_code.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {

using enum commandline::ExitCode;

// `reason` is UPPER_SNAKE_CASE and stable; `hint` says what to run next and may be empty.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view hint = {});
absl::Status UsageError(std::string_view message, std::string_view hint = {});
absl::Status InterruptedError(std::string_view message, std::string_view hint = {});
// errno as a status: ENOSPC is RESOURCE_EXHAUSTED / NO_SPACE, ENOENT is NOT_FOUND / FILE_NOT_FOUND, and so on.
absl::Status ErrnoError(int error, std::string_view what);

// The error with its ErrorInfo (reason and metadata) read from the grpc-status-details-bin trailer.
absl::Status FromGrpc(const grpc::Status& status);
// The error of a job.
absl::Status FromProto(const v1::Error& error);

// "" where the status carries none.
std::string ReasonOf(const absl::Status& status);
std::string HintOf(const absl::Status& status);
absl::Status WithHint(const absl::Status& status, std::string_view hint);
// The same error with `context` in front of its message.
absl::Status Annotate(const absl::Status& status, std::string_view context);

int ExitCodeOf(const absl::Status& status);

// {"error":{"code":"NOT_FOUND","reason":…,"message":…,"hint":…}}
nlohmann::json ErrorToJson(const absl::Status& status);
// Two or three lines for people.
void PrintError(std::ostream& out, const absl::Status& status, bool color);

}  // namespace nashswarm::cli

#define NS_CLI_CONCAT_INNER(a, b) a##b
#define NS_CLI_CONCAT(a, b) NS_CLI_CONCAT_INNER(a, b)

#define NS_RETURN_IF_ERROR(expr)                                              \
  do {                                                                        \
    if (::absl::Status ns_status = (expr); !ns_status.ok()) return ns_status; \
  } while (false)

#define NS_ASSIGN_OR_RETURN(lhs, expr) NS_ASSIGN_OR_RETURN_IMPL(NS_CLI_CONCAT(ns_result_, __LINE__), lhs, expr)
#define NS_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return tmp.status();            \
  lhs = *std::move(tmp)

#endif  // NASHSWARM_CLIENT_CLI_ERRORS_H_
