// Regular expressions of pre-tokenizers, which are written for Oniguruma, run by PCRE2.
#ifndef NASHSWARM_CORE_TOKENIZER_REGEX_H_
#define NASHSWARM_CORE_TOKENIZER_REGEX_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::tokenizer {

struct Range {
  size_t begin, end;
};

// Immutable; safe to share among threads.
class Regex {
 public:
  // `what` names the file and the part in the message of TOKENIZER_INVALID.
  static absl::StatusOr<Regex> Compile(std::string_view pattern, std::string_view what);

  // Appends every match that is not empty, from left to right. `text` is valid UTF-8. A pattern that needs more
  // backtracking than the text's length allows for stops matching there, as if the rest had no match.
  void FindAll(std::string_view text, std::vector<Range>* out) const;

 private:
  struct Code;
  explicit Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  std::shared_ptr<const Code> code_;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_REGEX_H_
