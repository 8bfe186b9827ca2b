#include "core/base/json.h"

#include <array>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_replace.h"
#include "core/base/status.h"

namespace nashswarm {
namespace {

// Checks depth and duplicate keys while nlohmann's lexer walks the text; builds nothing, so a hostile text costs
// no memory before it is refused.
class StrictChecker : public nlohmann::json_sax<Json> {
 public:
  explicit StrictChecker(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return Open(); }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    reason_ = "JSON_DUPLICATE_KEY";
    message_ = absl::StrCat("key '", name.substr(0, 200), "' appears twice in one object");
    return false;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    reason_ = "JSON_SYNTAX";
    message_ = absl::StrCat("not valid JSON at byte ", position);
    return false;
  }

  const std::string& reason() const { return reason_; }
  const std::string& message() const { return message_; }

 private:
  bool Open() {
    keys_.emplace_back();
    if (static_cast<int>(keys_.size()) <= max_depth_) return true;
    reason_ = "JSON_DEPTH";
    message_ = absl::StrCat("nested deeper than ", max_depth_, " levels");
    return false;
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }

  int max_depth_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string reason_, message_;
};

// Longest first: "Infinity" ends "-Infinity".
constexpr std::array<std::string_view, 3> kLiterals = {"-Infinity", "Infinity", "NaN"};

// The literal that begins at `at`; "" when none does.
std::string_view LiteralAt(std::string_view text, size_t at) {
  for (const std::string_view literal : kLiterals) {
    if (text.substr(at).starts_with(literal)) return literal;
  }
  return {};
}

template <typename T, typename Is>
T Field(const Json& object, const char* key, T fallback, Is is) {
  if (!object.is_object()) return fallback;
  const auto it = object.find(key);
  return it != object.end() && is(*it) ? it->template get<T>() : fallback;
}

}  // namespace

std::string QuoteLiterals(std::string_view text, std::string_view mark) {
  std::string out;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view literal = in_string ? std::string_view() : LiteralAt(text, at);
    if (!literal.empty()) {
      absl::StrAppend(&out, "\"", ToAbsl(mark), ToAbsl(literal), "\"");
      at += literal.size() - 1;
      continue;
    }
    out.push_back(text[at]);
    if (text[at] == '"') in_string = !in_string;
    if (in_string && text[at] == '\\' && at + 1 < text.size()) out.push_back(text[++at]);
  }
  return out;
}

std::string PlainLiterals(std::string text) {
  for (const std::string_view literal : kLiterals) {
    absl::StrReplaceAll({{absl::StrCat("\"", kLiteralMark, ToAbsl(literal), "\""), ToAbsl(literal)}}, &text);
  }
  return text;
}

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, int max_depth) {
  StrictChecker checker(max_depth);
  if (!Json::sax_parse(text, &checker)) {
    const bool syntax = checker.reason().empty() || checker.reason() == "JSON_SYNTAX";
    if (std::string quoted; syntax && (quoted = QuoteLiterals(text, "")).size() > text.size()) {
      return ParseJson(quoted, what, max_depth);  // which has no more literals, so that this ends
    }
    return MakeError(absl::StatusCode::kInvalidArgument, checker.reason().empty() ? "JSON_SYNTAX" : checker.reason(),
                     absl::StrCat(ToAbsl(what), ": ", checker.message()));
  }
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

int64_t JsonInt(const Json& object, const char* key, int64_t fallback) {
  return Field<int64_t>(object, key, fallback, [](const Json& v) { return v.is_number_integer(); });
}
double JsonDouble(const Json& object, const char* key, double fallback) {
  return Field<double>(object, key, fallback, [](const Json& v) { return v.is_number(); });
}
bool JsonBool(const Json& object, const char* key, bool fallback) {
  return Field<bool>(object, key, fallback, [](const Json& v) { return v.is_boolean(); });
}
std::string JsonString(const Json& object, const char* key, std::string_view fallback) {
  return Field<std::string>(object, key, std::string(fallback), [](const Json& v) { return v.is_string(); });
}

}  // namespace nashswarm
