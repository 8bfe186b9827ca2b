#include "core/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

// Superscripts and fractions of Latin-1 are word characters to Oniguruma, others are not.
constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

// From Oniguruma's dialect to PCRE2's. \s and \w are Unicode properties in Oniguruma; PCRE2's own (with UCP) count U+180E as a
// space and leave marks out of words. Classes in classes and their intersections (&&) PCRE2 does not know at all.
class Translation {
 public:
  explicit Translation(std::string_view pattern) : in_(pattern) {}

  std::string Run() {
    std::string out;
    while (at_ < in_.size()) {
      if (in_[at_] == '\\' && at_ + 1 < in_.size()) AppendEscape(/*in_class=*/false, &out);
      else if (in_[at_] == '[') out += ParseClass(0).whole;
      else out.push_back(in_[at_++]);
    }
    return out;
  }

 private:
  struct Class {
    std::string whole;          // an expression for one character
    std::string items;          // what stands between its brackets,
    bool is_list = false;       // which is all there is to it
  };
  static constexpr int kMaxDepth = 16;

  // At a backslash that something follows.
  void AppendEscape(bool in_class, std::string* out) {
    const char escaped = in_[at_ + 1];
    at_ += 2;
    if (escaped == 's') {
      *out += "\\p{White_Space}";
    } else if (escaped == 'S') {
      *out += "\\P{White_Space}";
    } else if (escaped == 'w') {
      absl::StrAppend(out, in_class ? "" : "[", ToAbsl(kWord), in_class ? "" : "]");
    } else if (escaped == 'W' && !in_class) {
      absl::StrAppend(out, "[^", ToAbsl(kWord), "]");
    } else {
      out->push_back('\\');
      out->push_back(escaped);
      if ((escaped == 'p' || escaped == 'P') && at_ < in_.size() && in_[at_] == '{') AppendProperty(out);
    }
  }

  void AppendProperty(std::string* out) {
    const size_t close = in_.find('}', at_);
    const std::string_view name = close == std::string_view::npos ? "" : in_.substr(at_ + 1, close - at_ - 1);
    if (std::find(std::begin(kScripts), std::end(kScripts), name) == std::end(kScripts)) return;
    absl::StrAppend(out, "{sc:", ToAbsl(name), "}");
    at_ = close + 1;
  }

  // At a '['. What is not closed is handed on as it is, for PCRE2 to complain about.
  Class ParseClass(int depth) {
    const size_t begin = at_++;
    const bool negated = at_ < in_.size() && in_[at_] == '^';
    if (negated) ++at_;
    std::vector<Class> parts(1);        // what && separates
    std::vector<std::string> others;    // of the last part: classes that are no lists
    bool first = true;
    const auto finish = [&] {
      Class& part = parts.back();
      part.is_list = others.empty();
      part.whole = absl::StrCat("[", part.items, "]");
      if (others.empty()) return;
      const std::string more = absl::StrJoin(others, "|");
      part.whole = part.items.empty() ? absl::StrCat("(?:", more, ")") : absl::StrCat("(?:", part.whole, "|", more, ")");
      others.clear();
    };
    for (; at_ < in_.size() && (in_[at_] != ']' || first); first = false) {
      if (in_[at_] == '\\' && at_ + 1 < in_.size()) {
        AppendEscape(/*in_class=*/true, &parts.back().items);
      } else if (in_.substr(at_, 2) == "[:" && in_.find(":]", at_) != std::string_view::npos) {
        const size_t end = in_.find(":]", at_) + 2;
        absl::StrAppend(&parts.back().items, ToAbsl(in_.substr(at_, end - at_)));
        at_ = end;
      } else if (in_[at_] == '[' && depth < kMaxDepth) {
        const Class inner = ParseClass(depth + 1);
        if (inner.is_list) parts.back().items += inner.items;
        else others.push_back(inner.whole);
      } else if (in_.substr(at_, 2) == "&&") {
        finish();
        parts.emplace_back();
        at_ += 2;
      } else {
        parts.back().items.push_back(in_[at_++]);
      }
    }
    finish();
    if (at_ == in_.size()) return {std::string(in_.substr(begin))};
    ++at_;
    if (parts.size() == 1 && parts[0].is_list) {
      return {absl::StrCat(negated ? "[^" : "[", parts[0].items, "]"), parts[0].items, !negated};
    }
    std::string whole;
    for (size_t i = 1; i < parts.size(); ++i) absl::StrAppend(&whole, "(?=", parts[i].whole, ")");
    absl::StrAppend(&whole, parts[0].whole);
    return {negated ? absl::StrCat("(?:(?!", whole, ")[\\s\\S])") : absl::StrCat("(?:", whole, ")")};
  }

  const std::string_view in_;
  size_t at_ = 0;
};

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
  const std::string text = Translation(pattern).Run();
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
