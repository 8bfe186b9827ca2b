#include "core/report/page.h"

#include "core/report/html.h"
#include "core/report/style.h"

namespace nashswarm::report {

std::string PageHtml(std::string_view title, std::string_view sections, std::string_view footer) {
  // No address is fetched even if a hole in the escaping were found: the policy forbids all but the style sheet below.
  return Cat(
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n",
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n",
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" "
      "content=\"light dark\"/>\n<title>",
      Escape(title), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<main>\n", sections, "<footer>\n<p>",
      footer, "</p>\n</footer>\n</main>\n</body>\n</html>\n");
}

std::string MadeBy(std::string_view engine, std::string_view schema) {
  return Cat(engine.empty() ? "nashswarm" : Escape(engine), "; schema ", schema, ".");
}

std::string HeadingHtml(const Heading& heading) {
  std::string facts;
  for (const std::string& fact : heading.facts) {
    if (!fact.empty()) facts += Cat(facts.empty() ? "" : " <span aria-hidden=\"true\">·</span> ", fact);
  }
  return Cat("<header>\n<p class=\"kind\">", heading.kind, "</p>\n<h1>",
             heading.model_name.empty() ? "a model without a name" : Escape(heading.model_name), "</h1>\n",
             facts.empty() ? "" : Cat("<p class=\"facts\">", facts, "</p>\n"), heading.rest, "</header>\n");
}

std::string Tile(std::string_view label, std::string_view value, std::string_view note) {
  return Cat("<div class=\"tile\"><dt>", label, "</dt><dd><span class=\"big\">", value, "</span>",
             note.empty() ? "" : Cat("<span class=\"note\">", note, "</span>"), "</dd></div>\n");
}

}  // namespace nashswarm::report
