// Errors that input can cause travel as absl::Status. Each carries a machine-readable reason and, where there is one,
// a hint: what the user can do next. Both are payloads, so they survive every layer up to the wire and the terminal.
#ifndef NASHSWARM_CORE_BASE_STATUS_H_
#define NASHSWARM_CORE_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace nashswarm {

// `reason` is UPPER_SNAKE_CASE and stable; `message` names file and tensor; `hint` may be empty.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view hint = {});

// "" when the status carries none.
std::string ReasonOf(const absl::Status& status);
std::string HintOf(const absl::Status& status);

// The same error with `context` in front of its message ("model.safetensors: ...").
absl::Status Annotate(const absl::Status& status, std::string_view context);

// errno as a status: ENOSPC is RESOURCE_EXHAUSTED / NO_SPACE, ENOENT is NOT_FOUND / FILE_NOT_FOUND, and so on.
absl::Status ErrnoError(int error, std::string_view what);

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

}  // namespace nashswarm

#define NS_CONCAT_INNER(a, b) a##b
#define NS_CONCAT(a, b) NS_CONCAT_INNER(a, b)

#define NS_RETURN_IF_ERROR(expr)                          \
  do {                                                    \
    if (::absl::Status ns_status = (expr); !ns_status.ok()) return ns_status; \
  } while (false)

#define NS_ASSIGN_OR_RETURN(lhs, expr) NS_ASSIGN_OR_RETURN_IMPL(NS_CONCAT(ns_result_, __LINE__), lhs, expr)
#define NS_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return tmp.status();            \
  lhs = *std::move(tmp)

#endif  // NASHSWARM_CORE_BASE_STATUS_H_
