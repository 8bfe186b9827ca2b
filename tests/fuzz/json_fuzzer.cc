// The strict JSON parser: what it accepts, the library accepts too once literals that JSON does not have are quoted, is no deeper than allowed and has no key twice. What is
// accepted is also read as a task's spec.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// A spec asks for nothing but whether there is such a kind: the kinds themselves, and all that they stand on, are not built here.
class ArtifactKind;
absl::StatusOr<const ArtifactKind*> FindKind(std::string_view name) {
  if (name == "gguf" || name == "nsq") return nullptr;
  return absl::InvalidArgumentError("no such kind");
}

}  // namespace nashswarm::pipeline

namespace {

using nashswarm::Json;

void Require(bool condition) {
  if (!condition) std::abort();
}

// Members of all objects within `value`; checks its depth.
size_t Members(const Json& value, int depth) {
  if (!value.is_structured()) return 0;
  Require(depth < nashswarm::kMaxJsonDepth);
  size_t members = value.is_object() ? value.size() : 0;
  for (const Json& child : value) members += Members(child, depth + 1);
  return members;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = nashswarm::ParseJson(text, "fuzz");
  const std::string plain = Json::accept(text) ? std::string(text) : nashswarm::QuoteLiterals(text, "");
  if (!json.ok()) {
    const std::string reason = nashswarm::ReasonOf(json.status());
    Require(reason == "JSON_DEPTH" || reason == "JSON_DUPLICATE_KEY" || (reason == "JSON_SYNTAX" && !Json::accept(plain)));
    return 0;
  }
  size_t keys = 0;  // as they stand in the text, so one that stands twice counts twice
  const auto count = [&](int, Json::parse_event_t event, Json&) {
    keys += event == Json::parse_event_t::key;
    return true;
  };
  Require(Json::parse(plain, count, /*allow_exceptions=*/false) == *json);
  Require(Members(*json, 0) == keys);
  const auto again = nashswarm::ParseJson(json->dump(), "fuzz");
  Require(again.ok() && *again == *json);
  if (const auto spec = nashswarm::pipeline::ParseSpec(*json); spec.ok()) {
    (void)spec->TargetText();
    (void)spec->TargetBytes(124'439'808);
  }
  return 0;
}
