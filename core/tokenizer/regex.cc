#include "core/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

constexpr size_t kMaxPatternBytes = 1u << 16;  // the longest in use have some hundreds
// Steps of backtracking for one match: enough for a blank run as long as the text, too few for an exponential pattern.
constexpr uint32_t kMinMatchLimit = 1u << 20;
constexpr uint32_t kMaxMatchLimit = 1u << 30;

// Scripts that patterns name. PCRE2 takes a bare script name for the script extensions, Oniguruma for the script.
constexpr std::string_view kScripts[] = {"Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek", "Cyrillic", "Arabic",
                                         "Hebrew", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Devanagari", "Bengali"};

// What differs between the dialects: \s and \w are Unicode properties in Oniguruma; PCRE2's own (with UCP) count U+180E
// as a space and leave marks out of words.
std::string_view Translate(char escaped) {
  switch (escaped) {
    case 's': return "\\p{White_Space}";
    case 'S': return "\\P{White_Space}";
    default: return {};
  }
}

std::string ToPcre2(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '[') in_class = true;
    if (pattern[i] == ']') in_class = false;
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out.push_back(pattern[i]);
      continue;
    }
    const char escaped = pattern[++i];
    // Superscripts and fractions of Latin-1 are word characters to Oniguruma, others are not.
    constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
    if (const std::string_view other = Translate(escaped); !other.empty()) {
      out += other;
    } else if (escaped == 'w') {
      absl::StrAppend(&out, in_class ? "" : "[", ToAbsl(kWord), in_class ? "" : "]");
    } else if (escaped == 'W' && !in_class) {
      absl::StrAppend(&out, "[^", ToAbsl(kWord), "]");
    } else {
      out.push_back('\\');
      out.push_back(escaped);
      if ((escaped == 'p' || escaped == 'P') && i + 1 < pattern.size() && pattern[i + 1] == '{') {
        const size_t close = pattern.find('}', i);
        const std::string_view name = close == std::string_view::npos ? "" : pattern.substr(i + 2, close - i - 2);
        if (std::find(std::begin(kScripts), std::end(kScripts), name) == std::end(kScripts)) continue;
        absl::StrAppend(&out, "{sc:", ToAbsl(name), "}");
        i = close;
      }
    }
  }
  return out;
}

std::string MessageOf(int error) {
  PCRE2_UCHAR buffer[256];
  return pcre2_get_error_message(error, buffer, sizeof(buffer)) < 0 ? absl::StrCat("error ", error)
                                                                    : reinterpret_cast<const char*>(buffer);
}

struct MatchData {
  explicit MatchData(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)), context(pcre2_match_context_create(nullptr)) {}
  ~MatchData() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
};

}  // namespace

struct Regex::Code {
  ~Code() { pcre2_code_free(code); }
  pcre2_code* code = nullptr;
};

absl::StatusOr<Regex> Regex::Compile(std::string_view pattern, std::string_view what) {
  const auto invalid = [&](std::string_view why) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID",
                     absl::StrCat(ToAbsl(what), ": not a regular expression that can be used: ", ToAbsl(why), ": ",
                                  ToAbsl(pattern.substr(0, 200))),
                     "download the tokenizer files of the model again");
  };
  if (pattern.size() > kMaxPatternBytes) return invalid("it is too long");
  if (ValidUtf8Prefix(pattern) != pattern.size()) return invalid("it is not UTF-8");
  const std::string text = ToPcre2(pattern);
  int error;
  PCRE2_SIZE offset;
  auto code = std::make_shared<Code>();
  // Oniguruma's ^ and $ are at lines.
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (code->code == nullptr) return invalid(absl::StrCat(MessageOf(error), " at ", offset));
  (void)pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter does it
  return Regex(std::move(code));
}

void Regex::FindAll(std::string_view text, std::vector<Range>* out) const {
  const MatchData match(code_->code);
  if (match.data == nullptr || match.context == nullptr) return;
  pcre2_set_match_limit(match.context, static_cast<uint32_t>(std::clamp<size_t>(8 * text.size(), kMinMatchLimit, kMaxMatchLimit)));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.data);
  for (size_t at = 0; at < text.size();) {
    int found = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.data, match.context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | PCRE2_NO_JIT,
                          match.data, match.context);
    }
    // \K and lookbehinds can move a match's begin; nothing may go backwards here.
    if (found < 0 || bounds[1] <= at || bounds[0] < at || bounds[0] >= bounds[1]) return;
    out->push_back({bounds[0], bounds[1]});
    at = bounds[1];
  }
}

}  // namespace nashswarm::tokenizer
