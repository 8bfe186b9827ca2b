// The two routers side by side.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

std::string Second(std::string_view text) { return Cat("<span class=\"second\">", text, "</span>"); }

void AddLoss(const RoutingReport& report, const RouterRow& row, std::vector<std::string>* cells) {
  if (!HasLoss(report, row)) {
    cells->insert(cells->end(), 3, NotMeasured());
    return;
  }
  const std::string error = row.mean_nll_stderr > 0 && std::isfinite(row.mean_nll_stderr)
                                ? Second(Cat("±", kNoBreak, Significant(row.mean_nll_stderr, 2)))
                                : "";
  cells->push_back(Significant(row.mean_nll, 4) + error);
  cells->push_back(row.name == kModelRow ? Absent("it is what changes are measured against")
                                         : SignedPercent(row.nll_change));
  cells->push_back(IfMeasured(row.perplexity, Significant(row.perplexity, 4)));
}

void AddRounds(const RouterRow& row, std::vector<std::string>* cells) {
  const bool played = row.rounds > 0 && std::isfinite(row.rounds);
  cells->push_back(played ? Cat(Fixed(row.rounds, 1), Second(Cat("at most ", std::to_string(row.most_rounds))))
                          : Absent("no rounds are played"));
  cells->push_back(row.batches > 0 ? Cat(Grouped(row.nash_batches), Second(Cat("of ", Grouped(row.batches))))
                                   : NotMeasured());
}

}  // namespace

std::string RoutersHtml(const RoutingReport& report) {
  if (report.routers.empty()) return "";
  Table table("The routers compared", {{"router"},
                                       {"loss, nats a token"},
                                       {"change"},
                                       {"perplexity"},
                                       {"variation of load"},
                                       {"hit rate"},
                                       {"loaded per token"},
                                       {"rounds"},
                                       {"Nash batches"},
                                       {"same choices"}});
  for (const RouterRow& row : report.routers) {
    std::vector<std::string> cells = {RouterTitle(row)};
    AddLoss(report, row, &cells);
    cells.push_back(IfMeasured(row.load_variation, Fixed(row.load_variation, 3)));
    cells.push_back(IfMeasured(row.hit_rate, Percent(row.hit_rate)));
    cells.push_back(IfMeasured(row.bytes_per_token, RoundBytes(row.bytes_per_token)));
    AddRounds(row, &cells);
    cells.push_back(IfMeasured(row.same_choices, Percent(row.same_choices)));
    table.Add(std::move(cells), row.name == kGameRow);
  }
  std::string notes =
      report.scored > 0 ? Cat("Loss over ", Grouped(report.scored), " tokens; ± is the standard error. ") : "";
  notes +=
      "Variation of load: the standard deviation of how many tokens an expert gets in a batch, over the mean; 0 when "
      "all get the same. "
      "Hit rate: of the experts asked for, those that were in the cache. Nash batches ended where no token gains by "
      "moving alone. "
      "Same choices: those that the model’s own router makes too, on the same inputs.";
  return Section("routers", "The model’s own router and the game",
                 Cat(table.ToHtml(), "<p class=\"fine\">", notes, "</p>\n"));
}

}  // namespace nashswarm::report
