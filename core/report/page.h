// What every page has around its sections, and the pieces that more than one kind of report shows.
#ifndef NASHSWARM_CORE_REPORT_PAGE_H_
#define NASHSWARM_CORE_REPORT_PAGE_H_

#include <string>
#include <string_view>
#include <vector>

namespace nashswarm::report {

// The whole file. `title` is plain text, `sections` and `footer` markup.
std::string PageHtml(std::string_view title, std::string_view sections, std::string_view footer);

// The first sentence of the footer: which program and which schema. Markup.
std::string MadeBy(std::string_view engine, std::string_view schema);

// The heading of the page. All markup but `model_name`; what is empty is left out.
struct Heading {
  std::string_view kind;        // "nashswarm compression report"
  std::string_view model_name;  // plain
  std::vector<std::string> facts;
  std::string rest;
};
std::string HeadingHtml(const Heading& heading);

// A number most readers came for; inside <dl class="tiles">. `note` may be empty. Markup.
std::string Tile(std::string_view label, std::string_view value, std::string_view note);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_PAGE_H_
