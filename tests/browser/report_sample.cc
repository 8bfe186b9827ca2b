// Writes sample reports, as HTML and JSON, into a directory: report_sample DIR
#include <cstdio>
#include <fstream>

#include "tests/unit/report/sample_report.h"

int main(int argc, char** argv) {
  using nashswarm::report::Report;
  if (argc != 2) {
    std::fprintf(stderr, "usage: report_sample DIR\n");
    return 2;
  }
  const std::pair<const char*, Report> samples[] = {{"full", nashswarm::report::FullReport()},
                                                    {"minimal", nashswarm::report::MinimalReport()},
                                                    {"deep", nashswarm::report::DeepReport(126)},
                                                    {"one", nashswarm::report::DeepReport(1)},
                                                    {"empty", Report{}}};
  for (const auto& [name, report] : samples) {
    const std::string path = std::string(argv[1]) + "/" + name;
    std::ofstream html(path + ".html", std::ios::binary), json(path + ".json", std::ios::binary);
    html << nashswarm::report::ToHtml(report);
    json << nashswarm::report::ToJson(report).dump(1) << "\n";
    if (!html.flush() || !json.flush()) {
      std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
      return 1;
    }
  }
}
