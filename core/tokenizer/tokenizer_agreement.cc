#include "core/tokenizer/tokenizer_agreement.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/tokenizer/normalizer.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

// What tokenizers disagree about: contractions, digits, blanks, scripts, marks, emoji, signs, code.
constexpr std::string_view kNasty[] = {
    "Hello world, it's 2024: she'LL say 'tis 'S fine; don't DON'T we'Ve I'M you're 'd'll",
    "👩‍👩‍👧‍👦 family 👍🏽 flags 🇩🇪🇫🇷 keycap 1️⃣ heart ❤️",
    "中文字符，日本語テキスト、한국어 텍스트。「引用」１２３ 全角", "العربية نص تجريبي ١٢٣ עברית हिन्दी १२३ ไทย ၁၂၃",
    "café façade Ångström naïve œuvre straße ÉTÉ été Été", "def f(x):\n\treturn {'a': [1, 2.5e-3], \"b\": x**2}  # comment\n\n\nif x:\n    f(0x1F)\n",
    "tabs\t\t\tand CRLF\r\nlines\r\n\r\n\r\nend\r", " leading", "  two leading", "trailing ", "trailing   ", "\n", " ", "   ", "\n\n\n", "a\n \n  \nb",
    "1234567890 12 345 6 ½ ² Ⅷ 1,000,000.00 -7 3.14159 (555)0123", "x  y   z    w     v", "$100 + 20% = <tag attr=\"v\"/> a|b a`b ~^& @#!? //--__",
    "http://example.com/a?b=c&d=%20#e user@example.org C:\\path\\file.txt", "camelCase HTTPServer snake_case kebab-case iPhone15Pro",
    "The quick brown fox jumps over the lazy dog.", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "...!!!???;;;:::,,,"};

constexpr size_t kTextBytes = 1 << 20, kChunkBytes = 1 << 16;
constexpr size_t kAddedTried = 256;

// Cut behind a line, so that no piece of a text is cut.
std::vector<std::string_view> Chunks(std::string_view text) {
  std::vector<std::string_view> out;
  text = text.substr(0, kTextBytes);
  while (!text.empty()) {
    size_t size = std::min(text.size(), kChunkBytes);
    if (const size_t line = text.rfind('\n', size - 1); size < text.size() && line != std::string_view::npos) size = line + 1;
    out.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return out;
}

class Comparison {
 public:
  Comparison(const Tokenizer& directory, const Tokenizer& gguf, const Vocabulary& vocabulary, Normalizer unsaid, bool allow_mismatch)
      : directory_(directory), gguf_(gguf), vocabulary_(vocabulary), unsaid_(std::move(unsaid)), allow_mismatch_(allow_mismatch) {}

  absl::Status Compare(std::string_view text) {
    TextArena arena;
    text = unsaid_.Apply(text, &arena);
    if (text.empty()) return absl::OkStatus();
    ++texts_;
    const std::vector<int32_t> own = directory_.Encode(text), made = gguf_.Encode(text);
    if (own == made) return absl::OkStatus();
    const std::string how = Describe(text, own, made);
    const bool foreseen = vocabulary_.differs_anywhere || (vocabulary_.differs_at_tokens && HasTokens(text)) ||
                          (vocabulary_.differs_at_space && text.front() == ' ');
    if (!foreseen && !allow_mismatch_) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TOKENIZER_MISMATCH",
                       absl::StrCat("the GGUF would not cut a text as the model's tokenizer does: ", how),
                       "use --format nsq, which carries the tokenizer as it is, or write it all the same with --allow-tokenizer-mismatch");
    }
    if (different_++ == 0) first_ = how;
    return absl::OkStatus();
  }

  void Report(std::vector<std::string>* warnings) const {
    if (different_ == 0) return;
    warnings->push_back(absl::StrCat("of ", texts_, " texts tried, llama.cpp cuts ", different_, " otherwise than the model's tokenizer",
                                     vocabulary_.differs_in.empty() ? "" : absl::StrCat(" (", vocabulary_.differs_in, ")"), "; ", first_));
  }

 private:
  bool HasTokens(std::string_view text) const {
    for (size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const TokenType type = vocabulary_.types[id];
      const bool found = type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
      if (found && text.find(vocabulary_.tokens[id]) != std::string_view::npos) return true;
    }
    return false;
  }

  // Both sides from where they part.
  std::string Describe(std::string_view text, const std::vector<int32_t>& own, const std::vector<int32_t>& made) const {
    const auto differs = std::mismatch(own.begin(), own.end(), made.begin(), made.end());
    const auto some = [](auto from, auto end) {
      return absl::StrJoin(from, end - from > 4 ? from + 4 : end, " ");
    };
    const std::string before = directory_.Decode(absl::MakeConstSpan(own.data(), static_cast<size_t>(differs.first - own.begin())));
    std::string_view rest = text.substr(std::min(before.size(), text.size()));
    rest = rest.substr(0, ValidUtf8Prefix(rest.substr(0, 60)));
    return absl::StrCat("in '", absl::Utf8SafeCHexEscape(ToAbsl(rest)), "' token ", differs.first - own.begin(), " on is ",
                        some(differs.second, made.end()), " instead of ", some(differs.first, own.end()));
  }

  const Tokenizer &directory_, &gguf_;
  const Vocabulary& vocabulary_;
  const Normalizer unsaid_;
  const bool allow_mismatch_;
  size_t texts_ = 0, different_ = 0;
  std::string first_;
};

// Every added token, or as many spread over all.
std::vector<const AddedToken*> AddedToTry(const Description& description, uint64_t rows) {
  std::vector<const AddedToken*> all, out;
  for (const AddedToken& token : description.added) {
    if (static_cast<uint64_t>(token.id) < rows) all.push_back(&token);
  }
  const size_t step = all.size() / kAddedTried + 1;
  for (size_t i = 0; i < all.size(); i += step) out.push_back(all[i]);
  return out;
}

}  // namespace

absl::Status CheckAgreement(const Description& description, const Tokenizer& directory, const Tokenizer& gguf,
                            const Vocabulary& vocabulary, std::string_view text, bool allow_mismatch,
                            std::vector<std::string>* warnings) {
  NS_ASSIGN_OR_RETURN(Normalizer unsaid, Normalizer::Parse(vocabulary.unsaid_normalizer, "normalizer"));
  Comparison comparison(directory, gguf, vocabulary, std::move(unsaid), allow_mismatch);
  for (const std::string_view nasty : kNasty) NS_RETURN_IF_ERROR(comparison.Compare(nasty));
  for (const AddedToken* token : AddedToTry(description, vocabulary.tokens.size())) {
    NS_RETURN_IF_ERROR(comparison.Compare(token->content));
    NS_RETURN_IF_ERROR(comparison.Compare(absl::StrCat("one", token->content, "two ", token->content, "\nthree")));
  }
  for (const std::string_view chunk : Chunks(text)) NS_RETURN_IF_ERROR(comparison.Compare(chunk));
  comparison.Report(warnings);
  return absl::OkStatus();
}

}  // namespace nashswarm::tokenizer
