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

// INVALID_ARGUMENT with reason JSON_SYNTAX, JSON_DEPTH or JSON_DUPLICATE_KEY; `what` names the file in the message.
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, int max_depth = kMaxJsonDepth);

// Field access that turns "absent or of another type" into a default or an error instead of an exception.
int64_t JsonInt(const Json& object, const char* key, int64_t fallback);
double JsonDouble(const Json& object, const char* key, double fallback);
bool JsonBool(const Json& object, const char* key, bool fallback);
std::string JsonString(const Json& object, const char* key, std::string_view fallback = {});

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_JSON_H_
