// JSON from outside is parsed strictly: bounded depth, duplicate keys refused, errors instead of exceptions.
#ifndef NASHSWARM_CORE_BASE_JSON_H_
#define NASHSWARM_CORE_BASE_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace nashswarm {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;

// INVALID_ARGUMENT with reason JSON_SYNTAX, JSON_DEPTH or JSON_DUPLICATE_KEY; `what` names the file in the message. NaN, Infinity
// and -Infinity, which Python writes and JSON does not have, are read as strings of these names: whoever wants a number refuses
// them, and nobody else minds.
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, int max_depth = kMaxJsonDepth);

// `text` with such literals as strings that begin with `mark`. PlainLiterals turns strings with that mark back, in the text of a
// dump: what goes through both keeps its literals.
inline constexpr char kLiteralMark[] = "\\u0001";
std::string QuoteLiterals(std::string_view text, std::string_view mark);
std::string PlainLiterals(std::string text);

// Field access that turns "absent or of another type" into a default or an error instead of an exception.
int64_t JsonInt(const Json& object, const char* key, int64_t fallback);
double JsonDouble(const Json& object, const char* key, double fallback);
bool JsonBool(const Json& object, const char* key, bool fallback);
std::string JsonString(const Json& object, const char* key, std::string_view fallback = {});

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_JSON_H_
