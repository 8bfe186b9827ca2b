#include "core/base/json_file.h"

#include <utility>

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm {
namespace {

constexpr char kVersion[] = "version";

}  // namespace

absl::StatusOr<Json> ReadJsonObject(const std::string& path, int version) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  NS_ASSIGN_OR_RETURN(Json json, ParseJson(text, BaseName(path)));
  if (!json.is_object()) return FaultIn(path, {"", "is not an object"});
  if (const int64_t found = JsonInt(json, kVersion, 1); found != version) {
    return MakeError(absl::StatusCode::kInternal, "STAGE_FILE_VERSION",
                     absl::StrCat(BaseName(path), ": is of version ", found, ", and version ", version, " is read here"));
  }
  return json;
}

absl::Status WriteJsonObject(const std::string& path, int version, Json json) {
  if (version > 1) json[kVersion] = version;
  return WriteFileUnsynced(path, json.dump(1));
}

absl::Status FaultIn(const std::string& path, const JsonFault& fault) {
  const std::string key = fault.key.empty() ? "" : absl::StrCat("'", fault.key, "' ");
  return MakeError(absl::StatusCode::kInternal, "STAGE_FILE_INVALID", absl::StrCat(BaseName(path), ": ", key, fault.problem));
}

}  // namespace nashswarm
