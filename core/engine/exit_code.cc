#include "core/engine/exit_code.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace nashswarm::engine {
namespace {

constexpr int kFailed = 1, kUsage = 2, kNotFound = 3, kNoSpace = 6, kCorrupt = 7;

// What is wrong with an argument that is a flag, and with a file that is damaged. Others are files that are whole, and that we
// cannot use.
constexpr std::string_view kAboutTheCommandLine[] = {"USAGE", "RULE_INVALID", "NOT_A_CHECKPOINT", "CONTEXT_TOO_LONG", "CONTEXT_TOO_SHORT",
                                                     "STRIDE_TOO_LONG"};
constexpr std::string_view kAboutDamage[] = {"INDEX_INVALID", "TENSOR_DUPLICATE", "SHARD_MISMATCH", "NON_FINITE_WEIGHTS",
                                             "TOKENIZER_INVALID"};

template <size_t N>
bool Has(const std::string_view (&list)[N], const std::string& reason) {
  return std::find(std::begin(list), std::end(list), reason) != std::end(list);
}

int OfInvalidArgument(const std::string& reason) {
  if (Has(kAboutTheCommandLine, reason) || reason.starts_with("BAD_")) return kUsage;
  return Has(kAboutDamage, reason) || reason.starts_with("JSON_") ? kCorrupt : kFailed;
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
      return OfInvalidArgument(ReasonOf(status));
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kResourceExhausted:
      return kNoSpace;
    case absl::StatusCode::kDataLoss:
      return kCorrupt;
    default:
      return kFailed;
  }
}

}  // namespace nashswarm::engine
