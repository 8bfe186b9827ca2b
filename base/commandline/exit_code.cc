#include "base/commandline/exit_code.h"

#include <algorithm>

namespace nashswarm::commandline {
namespace {

// Besides those that begin with "BAD_".
constexpr std::string_view kAboutTheCommandLine[] = {
    "USAGE",    "RULE_INVALID",            "UNKNOWN_FORMAT",     "NOT_A_CHECKPOINT",
    "NOT_DATA", "UNKNOWN_ARTIFACT_FORMAT", "NO_EVALUATION_TEXT", "CONTEXT_TOO_LONG",
    "CONTEXT_TOO_SHORT", "STRIDE_TOO_LONG"};
// Besides those that begin with "JSON_".
constexpr std::string_view kAboutDamage[] = {"INDEX_INVALID", "TENSOR_DUPLICATE", "SHARD_MISMATCH", "NON_FINITE_WEIGHTS",
                                             "TOKENIZER_INVALID"};

template <size_t N>
bool Has(const std::string_view (&list)[N], std::string_view reason) {
  return std::find(std::begin(list), std::end(list), reason) != std::end(list);
}

}  // namespace

ExitCode CodeOfInvalidArgument(std::string_view reason) {
  if (Has(kAboutTheCommandLine, reason) || reason.starts_with("BAD_")) return kExitUsage;
  return Has(kAboutDamage, reason) || reason.starts_with("JSON_") ? kExitCorrupt : kExitFailed;
}

}  // namespace nashswarm::commandline
