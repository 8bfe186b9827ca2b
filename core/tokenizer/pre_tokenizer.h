// The "pre_tokenizer" of tokenizer.json: cuts a text into the pieces within which BPE merges.
#ifndef NASHSWARM_CORE_TOKENIZER_PRE_TOKENIZER_H_
#define NASHSWARM_CORE_TOKENIZER_PRE_TOKENIZER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {

// GPT-2's pattern, which ByteLevel applies when use_regex is set.
inline constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Qwen2's, which the files of its older tokenizers leave out.
inline constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Piece {
  std::string_view text;
  bool first;  // begins where the whole text begins
};

// Immutable; safe to share among threads.
class PreTokenizer {
 public:
  // One step: pieces in, pieces out. None is empty.
  class Stage {
   public:
    virtual ~Stage() = default;
    virtual void Apply(absl::Span<const Piece> in, TextArena* arena, std::vector<Piece>* out) const = 0;
  };

  PreTokenizer() = default;  // one piece

  // Sequence, ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation and null; any other is
  // TOKENIZER_UNKNOWN, a pattern that cannot be used TOKENIZER_INVALID.
  static absl::StatusOr<PreTokenizer> Parse(const Json& json, const std::string& what);
  // One pattern after another, every match and everything between matches a piece; then bytes.
  static absl::StatusOr<PreTokenizer> ByteLevelOf(absl::Span<const std::string_view> patterns, const std::string& what);

  // The pieces are bytes, to be spelt in the alphabet of bytes. (Where something follows ByteLevel in a Sequence it sees
  // the text spelt so already, as do the pieces, and this is false.)
  bool byte_level() const { return byte_level_; }

  // Appends the pieces of `text`, valid UTF-8; `first` as of Piece. Texts that change are kept in `arena`.
  void Split(std::string_view text, bool first, TextArena* arena, std::vector<Piece>* out) const;

 private:
  absl::Status Append(const Json& json, const std::string& what);
  absl::Status AppendSplit(const Json& json, const std::string& what);
  absl::Status AppendPattern(std::string_view pattern, const std::string& behavior, const std::string& what);
  void Finish();

  std::vector<std::shared_ptr<const Stage>> stages_;
  bool byte_level_ = false;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_PRE_TOKENIZER_H_
