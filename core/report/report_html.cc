#include "core/report/html.h"
#include "core/report/page.h"
#include "core/report/report.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Footer(const Report& report) {
  return Cat(MadeBy(report.engine, kSchema),
             " 1 KB is 1000 bytes, 1 MB is 1000 KB. Figures called predicted come from the plan; all others were measured on the files.");
}

}  // namespace

std::string ToHtml(const Report& report) {
  const bool warnings_first = WarningsFirst(report);
  const std::string title = report.model_name.empty() ? "Compression report" : report.model_name + ": compression report";
  std::string body = TitleHtml(report);
  if (warnings_first) body += WarningsHtml(report);
  body += HeadlineHtml(report);
  body += FrontierHtml(report);
  body += BitMapHtml(report);
  body += ExpertsHtml(report);
  body += PricePathHtml(report);
  body += ErrorsHtml(report);
  body += TrialsHtml(report);
  body += SearchHtml(report);
  body += AgainHtml(report);
  body += TextsHtml(report);
  body += CostsHtml(report);
  if (!warnings_first) body += WarningsHtml(report);
  return PageHtml(title, body, Footer(report));
}

}  // namespace nashswarm::report
