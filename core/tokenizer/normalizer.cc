#include "core/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/regex.h"

namespace nashswarm::tokenizer {
namespace {

bool AllBelow(std::string_view text, uint32_t limit) {
  for (size_t position = 0; position < text.size();) {
    if (NextChar(text, &position) >= limit) return false;
  }
  return true;
}

bool Map(std::string_view text, int options, std::string* out) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                                 &mapped, static_cast<utf8proc_option_t>(options));
  if (size < 0) return false;  // out of memory: the text is valid
  out->assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
  return true;
}

bool Prepend(const std::string& prefix, std::string_view text, std::string* out) {
  if (text.empty() || prefix.empty()) return false;
  out->assign(prefix).append(text);
  return true;
}

bool ReplaceMatches(const Regex& regex, const std::string& to, std::string_view text, std::string* out) {
  std::vector<Range> matches;
  regex.FindAll(text, &matches);
  size_t begin = 0;
  for (const Range& match : matches) {
    out->append(text.substr(begin, match.begin - begin)).append(to);
    begin = match.end;
  }
  out->append(text.substr(begin));
  return !matches.empty();
}

bool Lowercase(std::string_view text, std::string* out) {
  for (size_t position = 0; position < text.size();) {
    const uint32_t c = NextChar(text, &position);
    if (c == 0x130) out->append("i\xcc\x87");  // the one letter whose lower case is two characters
    else AppendChar(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
  return true;
}

bool Strip(bool left, bool right, std::string_view text, std::string* out) {
  size_t begin = 0;
  while (left && begin < text.size()) {
    size_t next = begin;
    if (!IsWhiteSpace(NextChar(text, &next))) break;
    begin = next;
  }
  text.remove_prefix(begin);
  while (right && !text.empty() && IsWhiteSpace(LastChar(text))) text.remove_suffix(LastCharLength(text));
  out->assign(text);
  return true;
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Parse(const Json& json, const std::string& what) {
  Normalizer out;
  NS_RETURN_IF_ERROR(out.Append(json, what));
  return out;
}

absl::Status Normalizer::Append(const Json& json, const std::string& what) {
  if (json.is_null()) return absl::OkStatus();
  const std::string type = JsonString(json, "type");
  const auto map = [](int options, uint32_t limit) -> Step {
    return [options, limit](std::string_view text, std::string* out) {
      return !AllBelow(text, limit) && Map(text, options | UTF8PROC_STABLE, out);
    };
  };
  if (type == "Sequence") {
    for (const Json& part : Field(json, "normalizers")) NS_RETURN_IF_ERROR(Append(part, what));
  } else if (type == "NFC") {
    steps_.push_back(map(UTF8PROC_COMPOSE, 0x300));  // no character below U+0300 changes in NFC
  } else if (type == "NFD") {
    steps_.push_back(map(UTF8PROC_DECOMPOSE, 0xc0));
  } else if (type == "NFKC") {
    steps_.push_back(map(UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0xa0));
  } else if (type == "NFKD") {
    steps_.push_back(map(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0xa0));
  } else if (type == "Lowercase") {
    steps_.push_back(Lowercase);
  } else if (type == "Strip") {
    const bool left = JsonBool(json, "strip_left", true), right = JsonBool(json, "strip_right", true);
    steps_.push_back([left, right](std::string_view text, std::string* out) { return Strip(left, right, text, out); });
  } else if (type == "Prepend") {
    const std::string prefix = JsonString(json, "prepend");
    steps_.push_back([prefix](std::string_view text, std::string* out) { return Prepend(prefix, text, out); });
  } else if (type == "Replace") {
    const std::string to = JsonString(json, "content");
    const Json& pattern = Field(json, "pattern");
    if (const std::string from = JsonString(pattern, "String"); !from.empty()) {
      steps_.push_back([from, to](std::string_view text, std::string* out) {
        if (text.find(from) == std::string_view::npos) return false;
        *out = ReplaceEvery(text, from, to);
        return true;
      });
    } else {
      const std::string expression = JsonString(pattern, "Regex");
      if (expression.empty()) return Invalid(what, "a Replace has no pattern");
      NS_ASSIGN_OR_RETURN(const Regex regex, Regex::Compile(expression, what));
      steps_.push_back([regex, to](std::string_view text, std::string* out) { return ReplaceMatches(regex, to, text, out); });
    }
  } else {
    return Unknown(what, absl::StrCat("type '", type.substr(0, 100), "' is not supported"),
                   "supported: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip");
  }
  return absl::OkStatus();
}

std::string_view Normalizer::Apply(std::string_view text, TextArena* arena) const {
  for (const Step& step : steps_) {
    std::string next;
    if (step(text, &next)) text = arena->Keep(std::move(next));
  }
  return text;
}

}  // namespace nashswarm::tokenizer
