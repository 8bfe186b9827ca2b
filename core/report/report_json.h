// report.json read back: for tools that compare reports, and for the round trip in the tests.
#ifndef NASHSWARM_CORE_REPORT_REPORT_JSON_H_
#define NASHSWARM_CORE_REPORT_REPORT_JSON_H_

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/report/report.h"

namespace nashswarm::report {

// The inverse of ToJson. Absent keys keep the member's default, unknown keys are skipped. INVALID_ARGUMENT with reason
// REPORT_SCHEMA when "schema" is another one, REPORT_FIELD when a value has the wrong type; the message names the key.
absl::StatusOr<Report> FromJson(const Json& json);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_REPORT_JSON_H_
