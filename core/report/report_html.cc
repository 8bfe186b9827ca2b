#include "core/report/html.h"
#include "core/report/report.h"
#include "core/report/sections/sections.h"
#include "core/report/style.h"

namespace nashswarm::report {
namespace {

std::string Footer(const Report& report) {
  std::string out = Cat("<footer>\n<p>", report.engine.empty() ? "nashswarm" : Escape(report.engine), "; schema ", kSchema, ".");
  if (!report.source_digest.empty()) {
    out += Cat(" Checkpoint <code class=\"digest\">", Escape(report.source_digest), "</code>.");
  }
  return out + " 1 KB is 1000 bytes, 1 MB is 1000 KB. Figures called predicted come from the plan; all others were measured on the files.</p>\n</footer>\n";
}

}  // namespace

std::string ToHtml(const Report& report) {
  const bool warnings_first = WarningsFirst(report);
  const std::string title = report.model_name.empty() ? "Compression report" : Escape(report.model_name) + ": compression report";
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
  body += TextsHtml(report);
  body += CostsHtml(report);
  if (!warnings_first) body += WarningsHtml(report);
  // No address is fetched even if a hole in the escaping were found: the policy forbids all but the style sheet below.
  return Cat("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n",
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n",
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
             title, "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<main>\n", body, Footer(report), "</main>\n</body>\n</html>\n");
}

}  // namespace nashswarm::report
