// report.json of an artifact on a terminal: the same numbers, the parts that fit there. The file's keys are the members of
// core/report/report.h; what was not measured is absent from it, and shown as "-".
#ifndef NASHSWARM_CLIENT_CLI_REPORT_TEXT_H_
#define NASHSWARM_CLIENT_CLI_REPORT_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {

inline constexpr char kReportFile[] = "report.json";
inline constexpr char kReportPage[] = "report.html";

// DATA_LOSS / BAD_REPORT for what is no report; UNIMPLEMENTED / REPORT_SCHEMA for one of another version.
absl::StatusOr<nlohmann::json> ParseReport(const std::string& text, const std::string& name);
// Never fails: values that are missing or of another type are shown as missing.
std::string RenderReport(const nlohmann::json& report, bool color);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_REPORT_TEXT_H_
