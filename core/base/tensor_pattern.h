// The patterns of a user's rules ("PATTERN=FORMAT"): RE2, matched against the whole name of a tensor. They come from outside,
// so length and memory are bounded here, for everybody who compiles one; RE2 itself bounds the time.
#ifndef NASHSWARM_CORE_BASE_TENSOR_PATTERN_H_
#define NASHSWARM_CORE_BASE_TENSOR_PATTERN_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace nashswarm {

// Immutable; Matches may be called from any thread.
class TensorPattern {
 public:
  static constexpr size_t kMaxBytes = 1024;

  // INVALID_ARGUMENT / BAD_PATTERN.
  static absl::StatusOr<TensorPattern> Compile(const std::string& pattern);
  TensorPattern(TensorPattern&&) noexcept;
  TensorPattern& operator=(TensorPattern&&) noexcept;
  ~TensorPattern();

  bool Matches(std::string_view name) const;

 private:
  explicit TensorPattern(std::unique_ptr<re2::RE2> pattern);
  std::unique_ptr<re2::RE2> pattern_;
};

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_TENSOR_PATTERN_H_
