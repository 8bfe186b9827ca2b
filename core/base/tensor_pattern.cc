#include "core/base/tensor_pattern.h"

#include "core/base/status.h"
#include "re2/re2.h"

namespace nashswarm {
namespace {

// RE2 needs memory in proportion to its program: this is ample for 1 KiB of pattern, and bounded.
constexpr int64_t kMaxMemory = 1 << 20;
constexpr size_t kShown = 100;  // patterns end up in messages and logs

}  // namespace

TensorPattern::TensorPattern(std::unique_ptr<re2::RE2> pattern) : pattern_(std::move(pattern)) {}
TensorPattern::TensorPattern(TensorPattern&&) noexcept = default;
TensorPattern& TensorPattern::operator=(TensorPattern&&) noexcept = default;
TensorPattern::~TensorPattern() = default;

absl::StatusOr<TensorPattern> TensorPattern::Compile(const std::string& pattern) {
  if (pattern.empty() || pattern.size() > kMaxBytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PATTERN",
                     absl::StrCat("a rule's pattern must have 1 to ", kMaxBytes, " bytes"));
  }
  re2::RE2::Options options;
  options.set_max_mem(kMaxMemory);
  options.set_log_errors(false);
  auto compiled = std::make_unique<re2::RE2>(pattern, options);
  if (!compiled->ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PATTERN",
                     absl::StrCat("pattern '", pattern.substr(0, kShown), "': ", compiled->error()),
                     "patterns are RE2 and match the whole tensor name: '.*\\.mlp\\..*'");
  }
  return TensorPattern(std::move(compiled));
}

bool TensorPattern::Matches(std::string_view name) const {
  return re2::RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *pattern_);
}

}  // namespace nashswarm
