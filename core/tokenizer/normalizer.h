// The "normalizer" of tokenizer.json: what is done to a text before it is split.
#ifndef NASHSWARM_CORE_TOKENIZER_NORMALIZER_H_
#define NASHSWARM_CORE_TOKENIZER_NORMALIZER_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class Normalizer {
 public:
  // Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip and null; any other is TOKENIZER_UNKNOWN.
  static absl::StatusOr<Normalizer> Parse(const Json& json, const std::string& what);

  // `text` is valid UTF-8 and comes back itself when nothing changes; a new one is kept in `arena`.
  std::string_view Apply(std::string_view text, TextArena* arena) const;

 private:
  // Returns whether it wrote a new text to `out`.
  using Step = std::function<bool(std::string_view text, std::string* out)>;
  absl::Status Append(const Json& json, const std::string& what);

  std::vector<Step> steps_;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_NORMALIZER_H_
