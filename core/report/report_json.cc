#include "core/report/report_json.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/report/report_fields.h"

namespace nashswarm::report {

OrderedJson ToJson(const Report& report) {
  OrderedJson out = OrderedJson::object();
  out["schema"] = kSchema;
  JsonWriter writer(&out);
  Fields(writer, report);
  return out;
}

absl::StatusOr<Report> FromJson(const Json& json) {
  if (const std::string schema = JsonString(json, "schema"); schema != kSchema) {
    return MakeError(absl::StatusCode::kInvalidArgument, "REPORT_SCHEMA",
                     absl::StrCat("report: schema is '", schema.substr(0, 100), "', not '", kSchema, "'"));
  }
  Report report;
  JsonFault fault;
  JsonReader reader(json, JsonReader::Absent::kKeepsValue, &fault);
  Fields(reader, report);
  if (fault.ok()) return report;
  return MakeError(absl::StatusCode::kInvalidArgument, "REPORT_FIELD", absl::StrCat("report: '", fault.key, "' ", fault.problem));
}

}  // namespace nashswarm::report
