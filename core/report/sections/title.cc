// The title line, the numbers most readers came for, and what the plan did.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/page.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Plain(const std::string& number, double error) {
  return error > 0 && std::isfinite(error) ? Cat("±", kNoBreak, number) : "";
}

std::string KlTile(const Quality& quality) {
  return Tile("Mean KL divergence", Significant(quality.mean_kl),
              Cat(Plain(Significant(quality.mean_kl_stderr, 2), quality.mean_kl_stderr), quality.mean_kl_stderr > 0 ? " " : "", "nats a token"));
}

std::string TopTile(const Quality& quality) {
  return Tile("Same most likely token", Percent(quality.same_top1), Cat("of ", Grouped(quality.tokens), " predictions"));
}

std::string PerplexityTile(const Quality& quality) {
  const double error = quality.perplexity_change_stderr;
  const bool none = error > 0 && std::abs(quality.perplexity_change) < 2 * error;
  const std::string_view than = none ? ": no change to be seen" : error > 0 ? " against the checkpoint" : "against the checkpoint";
  return Tile("Perplexity", SignedPercent(quality.perplexity_change), Cat(Plain(Percent(error, 2), error), than));
}

// Quality leads where it was measured; else there is the size alone.
std::string Tiles(const Report& report) {
  const Row* row = ArtifactRow(report);
  if (row == nullptr) return "";
  const Quality* quality = MeasuredQuality(*row);
  std::string out = "<dl class=\"tiles\">\n";
  const std::string saved = Cat(Percent(row->ratio_fp32), " smaller than FP32");
  if (quality == nullptr) {
    out += Tile("File size", BytesHtml(row->bytes), Grouped(row->bytes) + " bytes");
    out += Tile("Bits per weight", Fixed(row->bits_per_weight, 3), "the whole file, headers included");
    const bool larger = row->ratio_source < 0;
    out += Tile("Saved against FP32", Percent(row->ratio_fp32),
                larger ? Cat(Percent(-row->ratio_source), " larger than the checkpoint")
                       : Cat(Percent(row->ratio_source), " against the checkpoint"));
    return out + "</dl>\n";
  }
  out += Tile("File size", BytesHtml(row->bytes), Cat(Fixed(row->bits_per_weight, 3), " bits per weight, ", saved));
  if (std::isfinite(quality->mean_kl)) out += KlTile(*quality);
  if (std::isfinite(quality->same_top1)) out += TopTile(*quality);
  if (std::isfinite(quality->perplexity_change)) out += PerplexityTile(*quality);
  return out + "</dl>\n";
}

std::string PlanHtml(const Report& report) {
  std::string out;
  if (!report.plan_in_words.empty()) out += Cat("<p class=\"plan\">", Escape(report.plan_in_words), "</p>\n");
  if (!report.plan_summary.empty()) out += Cat("<p class=\"plan-note\">", Escape(report.plan_summary), "</p>\n");
  return out;
}

// Warnings at the end of the page must not be missed by who reads the top alone.
std::string WarningsHint(const Report& report) {
  if (report.warnings.empty() || WarningsFirst(report)) return "";
  return Cat("<p class=\"hint\"><a href=\"#warnings\">", Grouped(report.warnings.size()),
             report.warnings.size() == 1 ? " warning</a></p>\n" : " warnings</a></p>\n");
}

// "2026-11-30T17:05:00Z" is for programs.
std::string Date(const std::string& made) { return made.substr(0, made.find('T')); }

}  // namespace

const Row* ArtifactRow(const Report& report) {
  for (const Row& row : report.headline) {
    if (row.is_artifact) return &row;
  }
  return nullptr;
}

const Quality* MeasuredQuality(const Row& row) { return row.quality.has_value() ? &*row.quality : nullptr; }

std::string LossName(const Report& report) {
  return report.loss_is_kl ? "loss (predicted mean KL, nats)" : "predicted loss (weighted error)";
}

std::string TitleHtml(const Report& report) {
  std::string parameters;
  if (report.parameters > 0) {
    parameters = Cat("<span title=\"", Grouped(report.parameters), " parameters\">", Count(report.parameters), " parameters</span>");
  }
  return HeadingHtml({.kind = "nashswarm compression report",
                      .model_name = report.model_name,
                      .facts = {Escape(report.architecture), parameters,
                                report.target.empty() ? "" : Cat("target: ", Escape(report.target)), Escape(Date(report.made))},
                      .rest = Cat(Tiles(report), PlanHtml(report), WarningsHint(report))});
}

}  // namespace nashswarm::report
