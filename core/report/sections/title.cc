// The title line and the three or four numbers most readers came for.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/page.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string QualityTile(const Quality& quality) {
  if (!std::isfinite(quality.perplexity_change)) return Tile("Mean KL divergence", Significant(quality.mean_kl), "nats a token");
  return Tile("Perplexity change", SignedPercent(quality.perplexity_change),
              Cat("mean KL ", Significant(quality.mean_kl), kNoBreak, "nats a token"));
}

std::string Tiles(const Report& report) {
  const Row* row = ArtifactRow(report);
  if (row == nullptr) return "";
  std::string out = "<dl class=\"tiles\">\n";
  out += Tile("File size", BytesHtml(row->bytes), Grouped(row->bytes) + " bytes");
  out += Tile("Bits per weight", Fixed(row->bits_per_weight, 3), "the whole file, headers included");
  const bool larger = row->ratio_source < 0;
  out += Tile("Saved against FP32", Percent(row->ratio_fp32),
              larger ? Cat(Percent(-row->ratio_source), " larger than the checkpoint")
                     : Cat(Percent(row->ratio_source), " against the checkpoint"));
  if (const Quality* quality = MeasuredQuality(*row)) out += QualityTile(*quality);
  return out + "</dl>\n";
}

// Warnings at the end of the page must not be missed by who reads the top alone.
std::string WarningsHint(const Report& report) {
  if (report.warnings.empty() || WarningsFirst(report)) return "";
  return Cat("<p class=\"hint\"><a href=\"#warnings\">", Grouped(report.warnings.size()),
             report.warnings.size() == 1 ? " warning</a></p>\n" : " warnings</a></p>\n");
}

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
  const std::string plan = report.plan_summary.empty() ? "" : Cat("<p class=\"plan\">", Escape(report.plan_summary), "</p>\n");
  return HeadingHtml({.kind = "nashswarm compression report",
                      .model_name = report.model_name,
                      .facts = {Escape(report.architecture), parameters,
                                report.target.empty() ? "" : Cat("target: ", Escape(report.target))},
                      .rest = Cat(Tiles(report), plan, WarningsHint(report))});
}

}  // namespace nashswarm::report
