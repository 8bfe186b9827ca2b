// What the figures rest on.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

std::string Known(uint64_t count) { return count > 0 ? Grouped(count) : Absent("not known"); }

}  // namespace

std::string NotesHtml(const RoutingReport& report) {
  if (report.notes.empty()) return "";
  std::string list = "<ul class=\"notes\">\n";
  for (const std::string& note : report.notes) list += Cat("<li>", Escape(note), "</li>\n");
  return Section("notes", report.notes.size() == 1 ? "Note" : "Notes", list + "</ul>\n");
}

std::string TextHtml(const RoutingReport& report) {
  if (report.text.empty() && report.tokens == 0) return "";
  Table table(
      "The text",
      {{"file"}, {"size"}, {"tokens"}, {"scored"}, {"for tuning, before them"}, {"context"}, {"time of the run"}});
  table.Add({report.text.empty() ? Absent("not known") : Escape(report.text),
             report.text_bytes > 0 ? BytesHtml(report.text_bytes) : Absent("not known"), Known(report.tokens),
             report.scored > 0 ? Grouped(report.scored) : Absent("none was"),
             report.tuning_tokens > 0 ? Grouped(report.tuning_tokens) : "none", Known(report.context),
             report.seconds > 0 && std::isfinite(report.seconds) ? Seconds(report.seconds) : NotMeasured()});
  return Section("text", "The text", table.ToHtml());
}

}  // namespace nashswarm::report
