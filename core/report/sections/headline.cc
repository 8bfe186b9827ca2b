// Every row of the comparison: what it weighs, and what it costs in quality where that was measured.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Finite(double value, const std::string& text) { return std::isfinite(value) ? text : "not finite"; }
std::string Second(const std::string& text) { return text.empty() ? "" : Cat("<span class=\"second\">", text, "</span>"); }

std::string Error(const std::string& text, double value) {
  return value > 0 && std::isfinite(value) ? Cat("±", kNoBreak, text) : "";
}

void AddQuality(const Row& row, std::vector<std::string>* cells) {
  const Quality* q = MeasuredQuality(row);
  if (q == nullptr) {
    for (int i = 0; i < 4; ++i) cells->push_back(NotMeasured());
    return;
  }
  const std::string error = Error(Significant(q->mean_kl_stderr, 2), q->mean_kl_stderr);
  cells->push_back(Finite(q->mean_kl, Significant(q->mean_kl) + Second(error)));
  cells->push_back(Finite(q->same_top1, Percent(q->same_top1)));
  const bool itself = q->perplexity_change == 0 && q->perplexity_change_stderr == 0;  // the checkpoint
  std::string change;
  if (!itself && std::isfinite(q->perplexity_change)) {
    const bool broken = q->perplexity_change > 1;  // then how uncertain that is says nothing
    const std::string of_change = broken ? "" : Error(Percent(q->perplexity_change_stderr, 2), q->perplexity_change_stderr);
    change = Cat(SignedPercent(q->perplexity_change), of_change.empty() ? "" : " ", of_change);
  }
  cells->push_back(Finite(q->perplexity, Significant(q->perplexity, 4) + Second(change)));
  cells->push_back(Finite(q->p99_kl, Significant(q->p99_kl)));
}

// Without anything measured: how a plan's loss compares with this file's, by the curves of each tensor.
std::string Predicted(const Report& report, const Row& row) {
  const Row* ours = ArtifactRow(report);
  if (!row.predicted_loss || ours == nullptr || !ours->predicted_loss || !(*ours->predicted_loss > 0)) return NotMeasured();
  const double times = *row.predicted_loss / *ours->predicted_loss;
  return row.is_artifact ? "1" : Finite(times, Cat("×", kNoBreak, Significant(times)));
}

std::string Rough(const Report& report) {
  const Row* ours = ArtifactRow(report);
  const Quality* q = ours == nullptr ? nullptr : MeasuredQuality(*ours);
  if (q == nullptr || !IsRough(*q)) return "";
  const bool few = q->tokens < kFewTokens;
  return Cat("<p class=\"missing\">The evaluation text is short: ",
             few ? Cat("only ", Grouped(q->tokens), " tokens were scored") : "the error of the mean KL is over a tenth of it",
             ", so read these figures as a first impression. A longer one: <code>--evaluate FILE</code></p>\n");
}

std::string Note(const Report& report, bool some_measured, bool all_measured) {
  std::string out = Rough(report);
  const Row* ours = ArtifactRow(report);
  if (ours == nullptr || MeasuredQuality(*ours) == nullptr) {
    const bool had_text = std::any_of(report.texts.begin(), report.texts.end(), [](const TextUsed& t) { return t.purpose == "evaluation"; });
    out += Cat("<p class=\"missing\">", had_text ? "Loss was not measured on this file."
               : "No text was given, so loss was not measured: <code>--calibrate FILE</code> or <code>--calibrate self</code>", "</p>\n");
  }
  std::string notes = "Smaller: share of bytes saved; sizes are of weight files, headers and tables included.";
  if (some_measured) {
    notes += " KL divergence against the checkpoint, in nats a token";
    const auto scored = std::find_if(report.headline.begin(), report.headline.end(), [](const Row& row) {
      return MeasuredQuality(row) != nullptr && MeasuredQuality(row)->tokens > 0;
    });
    if (scored != report.headline.end()) notes += Cat(", over ", Grouped(scored->quality->tokens), " tokens");
    notes += "; ± is a standard error, of the perplexity that of the paired differences from the checkpoint.";
    if (!all_measured) notes += Cat(" ", kNothing, ": not measured.");
  }
  return Cat(out, "<p class=\"fine\">", notes, "</p>\n");
}

std::vector<Table::Column> Columns(bool measured, bool predicted) {
  std::vector<Table::Column> columns = {{"file"}, {"size"}, {"bits per weight"}, {"smaller than FP32"}};
  if (measured) {
    for (const std::string_view name : {"mean KL", "same top token", "perplexity", "99th pct. of KL"}) columns.push_back({name});
  } else if (predicted) {
    columns.push_back({"weighted error, predicted"});
  }
  return columns;
}

}  // namespace

std::string HeadlineHtml(const Report& report) {
  if (report.headline.empty()) return "";
  const auto is_measured = [](const Row& row) { return MeasuredQuality(row) != nullptr; };
  const bool some = std::any_of(report.headline.begin(), report.headline.end(), is_measured);
  const bool all = std::all_of(report.headline.begin(), report.headline.end(), is_measured);
  const bool predicted = std::any_of(report.headline.begin(), report.headline.end(), [](const Row& r) { return r.predicted_loss.has_value(); });
  Table table("Sizes and measured quality", Columns(some, predicted));
  std::vector<Row> rows = report.headline;  // the file itself first
  std::stable_partition(rows.begin(), rows.end(), [](const Row& row) { return row.is_artifact; });
  for (const Row& row : rows) {
    const std::string checkpoint = row.ratio_source == 0 ? "" : Cat("<span class=\"keep\">checkpoint: ", Percent(row.ratio_source), "</span>");
    std::vector<std::string> cells = {
        Escape(row.name) + Second(row.is_artifact ? "this file" : Escape(row.note)),
        BytesHtml(row.bytes) + Second(Cat("<span class=\"keep\">", Grouped(row.bytes), " bytes</span>")), Fixed(row.bits_per_weight, 3),
        Percent(row.ratio_fp32) + Second(std::isfinite(row.ratio_source) ? checkpoint : "")};
    if (some) AddQuality(row, &cells);
    else if (predicted) cells.push_back(Predicted(report, row));
    table.Add(std::move(cells), row.is_artifact);
  }
  return Section("headline", "Size and quality", table.ToHtml() + Note(report, some, all));
}

}  // namespace nashswarm::report
