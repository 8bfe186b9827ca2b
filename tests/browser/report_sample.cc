// Writes sample reports, as HTML and JSON, into a directory: report_sample DIR
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/unit/report/sample_report.h"
#include "tests/unit/report/sample_routing.h"

namespace {

template <typename Report>
bool Write(const std::string& path, const Report& report) {
  std::ofstream html(path + ".html", std::ios::binary), json(path + ".json", std::ios::binary);
  html << ToHtml(report);
  json << ToJson(report).dump(1) << "\n";
  if (html.flush() && json.flush()) return true;
  std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  namespace report = nashswarm::report;
  if (argc != 2) {
    std::fprintf(stderr, "usage: report_sample DIR\n");
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  const bool written =
      Write(folder + "full", report::FullReport()) && Write(folder + "minimal", report::MinimalReport()) &&
      Write(folder + "deep", report::DeepReport(126)) && Write(folder + "one", report::DeepReport(1)) &&
      Write(folder + "empty", report::Report{}) && Write(folder + "route", report::FullRouting()) &&
      Write(folder + "route-wide", report::RoutingOf(64, 8, 16)) &&
      Write(folder + "route-large", report::LargeRouting()) && Write(folder + "route-bare", report::BareRouting()) &&
      Write(folder + "route-empty", report::RoutingReport{});
  return written ? 0 : 1;
}
