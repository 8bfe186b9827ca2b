// Errors and lookups that every reader of tokenizer.json's parts shares.
#ifndef NASHSWARM_CORE_TOKENIZER_JSON_PARTS_H_
#define NASHSWARM_CORE_TOKENIZER_JSON_PARTS_H_

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/status.h"

namespace nashswarm::tokenizer {

// `what` is the file and, where there is one, the part: "tokenizer.json: normalizer".
inline absl::Status Invalid(std::string_view what, std::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID", absl::StrCat(ToAbsl(what), ": ", ToAbsl(why)),
                   "download the tokenizer files of the model again");
}

inline absl::Status Unknown(std::string_view what, std::string_view why, std::string_view hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_UNKNOWN", absl::StrCat(ToAbsl(what), ": ", ToAbsl(why)),
                   hint);
}

// null when the object (or the thing that should be one) has no such field.
inline const Json& Field(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_JSON_PARTS_H_
