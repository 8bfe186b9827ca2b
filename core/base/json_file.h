// Files that one part of our programs writes for another: an object with the fields of a structure (json_fields.h), keys sorted.
#ifndef NASHSWARM_CORE_BASE_JSON_FILE_H_
#define NASHSWARM_CORE_BASE_JSON_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/base/json_fields.h"

namespace nashswarm {

// The structure with its keys sorted; numbers that are not finite are null.
template <typename T>
Json ToSortedJson(const T& value) {
  return Json(ToOrderedJson(value, JsonWriter::NonFinite::kNull));
}

// The object in the file `path`. NOT_FOUND, JSON_*; INTERNAL / STAGE_FILE_VERSION when it is of another version: a file says
// "version" from 2 on, and is of the first without.
absl::StatusOr<Json> ReadJsonObject(const std::string& path, int version);
// Not synced.
absl::Status WriteJsonObject(const std::string& path, int version, Json json);

// INTERNAL / STAGE_FILE_INVALID, with the file's name, the key, and what is wrong with it.
absl::Status FaultIn(const std::string& path, const JsonFault& fault);

template <typename T>
absl::Status WriteJsonFile(const std::string& path, int version, const T& value) {
  return WriteJsonObject(path, version, ToSortedJson(value));
}

// Every field must be there and of its type. Errors: those of ReadJsonObject and FaultIn.
template <typename T>
absl::StatusOr<T> ReadJsonFile(const std::string& path, int version) {
  const absl::StatusOr<Json> json = ReadJsonObject(path, version);
  if (!json.ok()) return json.status();
  T value{};
  JsonFault fault;
  JsonReader reader(*json, JsonReader::Absent::kIsAFault, &fault);
  Fields(reader, value);
  if (!fault.ok()) return FaultIn(path, fault);
  return value;
}

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_JSON_FILE_H_
