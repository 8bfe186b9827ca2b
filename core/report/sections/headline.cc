// Every row of the comparison: what it weighs, and what it costs in quality where that was measured.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Finite(double value, const std::string& text) { return std::isfinite(value) ? text : "not finite"; }

void AddQuality(const Row& row, std::vector<std::string>* cells) {
  const Quality* q = MeasuredQuality(row);
  if (q == nullptr) {
    for (int i = 0; i < 5; ++i) cells->push_back(NotMeasured());
    return;
  }
  const std::string error = q->mean_kl_stderr > 0 && std::isfinite(q->mean_kl_stderr)
                                ? Cat("<span class=\"second\">±", kNoBreak, Significant(q->mean_kl_stderr, 2), "</span>") : "";
  cells->push_back(Finite(q->perplexity, Significant(q->perplexity, 4)));
  cells->push_back(Finite(q->perplexity_change, SignedPercent(q->perplexity_change)));
  cells->push_back(Finite(q->mean_kl, Significant(q->mean_kl) + error));
  cells->push_back(Finite(q->p99_kl, Significant(q->p99_kl)));
  cells->push_back(Finite(q->same_top1, Percent(q->same_top1)));
}

std::string Note(const Report& report, bool some_measured, bool all_measured) {
  std::string out;
  const Row* ours = ArtifactRow(report);
  if (ours == nullptr || MeasuredQuality(*ours) == nullptr) {
    const bool had_text = std::any_of(report.texts.begin(), report.texts.end(), [](const TextUsed& t) { return t.purpose == "evaluation"; });
    out = had_text ? "Loss was not measured on this file."
                   : "No text was given, so loss was not measured: <code>--calibrate self</code>";
    out = Cat("<p class=\"missing\">", out, "</p>\n");
  }
  std::string notes = "Saved: share of bytes; sizes are of weight files, headers and tables included.";
  if (some_measured) {
    notes += " KL divergence against the checkpoint, in nats a token";
    const auto scored = std::find_if(report.headline.begin(), report.headline.end(), [](const Row& row) {
      return MeasuredQuality(row) != nullptr && MeasuredQuality(row)->tokens > 0;
    });
    if (scored != report.headline.end()) notes += Cat(", over ", Grouped(scored->quality->tokens), " tokens");
    notes += "; ± is the standard error.";
    if (!all_measured) notes += Cat(" ", kNothing, ": not measured.");
  }
  return Cat(out, "<p class=\"fine\">", notes, "</p>\n");
}

}  // namespace

std::string HeadlineHtml(const Report& report) {
  if (report.headline.empty()) return "";
  const auto measured = [](const Row& row) { return MeasuredQuality(row) != nullptr; };
  const bool some = std::any_of(report.headline.begin(), report.headline.end(), measured);
  const bool all = std::all_of(report.headline.begin(), report.headline.end(), measured);
  std::vector<Table::Column> columns = {{"file"}, {"size"}, {"bits per weight"}, {"saved vs FP32"}, {"saved vs checkpoint"}};
  if (some) {
    for (const std::string_view name : {"perplexity", "change", "mean KL", "p99 KL", "same top‑1"}) columns.push_back({name});
  }
  Table table("Sizes and measured quality", std::move(columns));
  for (const Row& row : report.headline) {
    std::vector<std::string> cells = {
        Escape(row.name) + (row.is_artifact ? "<span class=\"second\">this file</span>" : ""),
        Cat(BytesHtml(row.bytes), "<span class=\"second\">", ExactBytes(row.bytes), "</span>"), Fixed(row.bits_per_weight, 3),
        Percent(row.ratio_fp32), Percent(row.ratio_source)};
    if (some) AddQuality(row, &cells);
    table.Add(std::move(cells), row.is_artifact);
  }
  return Section("headline", "Size and quality", table.ToHtml() + Note(report, some, all));
}

}  // namespace nashswarm::report
