// What the figures rest on: the texts, and what they cost to make.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Unknown() { return Cat("<span class=\"none\">", kNothing, "</span>"); }

}  // namespace

std::string TextsHtml(const Report& report) {
  if (report.texts.empty()) return "";
  using Align = Table::Align;
  Table table("Texts used", {{"used for"}, {"what", Align::kText}, {"size"}, {"tokens"}, {"context"}, {"SHA-256", Align::kText}});
  for (const TextUsed& t : report.texts) {
    const std::string note = t.note.empty() ? "" : Cat("<span class=\"second wrap\">", Escape(t.note), "</span>");
    const std::string digest = t.sha256.empty() ? Unknown() : Cat("<code title=\"", Escape(t.sha256), "\">", Escape(std::string_view(t.sha256).substr(0, 12)), "…</code>");
    table.Add({Escape(t.purpose), Cat(Escape(t.source), note), t.bytes > 0 ? BytesHtml(t.bytes) : Unknown(),
               t.tokens > 0 ? Grouped(t.tokens) : Unknown(), t.context > 0 ? Grouped(t.context) : Unknown(), digest});
  }
  return Section("texts", "Texts used", table.ToHtml());
}

std::string CostsHtml(const Report& report) {
  if (report.costs.empty()) return "";
  Table table("Time and memory by stage", {{"stage"}, {"tasks"}, {"time"}, {"share of time", Table::Align::kText}, {"peak memory"}});
  double total = 0;
  int64_t tasks = 0;
  uint64_t peak = 0;
  for (const StageCost& c : report.costs) {
    if (std::isfinite(c.seconds)) total += c.seconds;
    tasks += c.tasks;
    peak = std::max(peak, c.peak_bytes);
  }
  const auto memory = [](uint64_t bytes) { return bytes > 0 ? BytesHtml(bytes) : Unknown(); };
  for (const StageCost& c : report.costs) {
    const double share = total > 0 && std::isfinite(c.seconds) ? std::clamp(c.seconds / total, 0.0, 1.0) : 0;
    const std::string bar = Cat("<span class=\"bar\" aria-hidden=\"true\"><span style=\"width:", Coord(100 * share), "%\"></span></span> ", share > 0 && share < 0.005 ? Cat("under 1", kNoBreak, "%") : Percent(share, 0));
    table.Add({Escape(c.stage), std::to_string(c.tasks), Seconds(c.seconds), total > 0 ? bar : Unknown(), memory(c.peak_bytes)});
  }
  table.AddTotal({"all", std::to_string(tasks), Seconds(total), "", memory(peak)});
  return Section("costs", "Time and memory",
                 Cat(table.ToHtml(), "<p class=\"fine\">Time is summed over tasks, which may have run side by side; memory is that of the largest engine.</p>\n"));
}

}  // namespace nashswarm::report
