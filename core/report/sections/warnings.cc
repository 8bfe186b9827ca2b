#include <algorithm>

#include "core/report/html.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

bool IsFallback(const std::string& warning) { return warning.find("FALLBACK") != std::string::npos; }

}  // namespace

bool WarningsFirst(const Report& report) { return std::any_of(report.warnings.begin(), report.warnings.end(), IsFallback); }

std::string WarningsHtml(const Report& report) {
  if (report.warnings.empty()) return "";
  std::string list = "<ul class=\"warnings\">\n";
  for (const std::string& warning : report.warnings) {
    list += Cat("<li><span class=\"sign\" aria-hidden=\"true\">!</span><span>", Escape(warning), "</span></li>\n");
  }
  list += "</ul>\n";
  return Section("warnings", report.warnings.size() == 1 ? "Warning" : "Warnings", list);
}

}  // namespace nashswarm::report
