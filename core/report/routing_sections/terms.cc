// What training could add to the loss, so that the model's own router comes near the game's equilibrium.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

struct Term {
  std::string_view name, meaning;
  double RoutingTerms::* value;
  double RoutingLambdas::* lambda;
  bool wanted;  // counts against the loss
};
constexpr Term kTerms[] = {
    {"balance",
     "experts × the sum over them of the share of choices × the mean probability; from 0 to the number of experts, 1 "
     "when either is even",
     &RoutingTerms::balance, &RoutingLambdas::balance, false},
    {"cached", "share of the choices that fell on experts in the cache; 0 to 1", &RoutingTerms::cached,
     &RoutingLambdas::cached, true},
    {"separation",
     "sum over the experts of the load above the threshold, in even shares; from 0 to the number of experts",
     &RoutingTerms::separation, &RoutingLambdas::separation, false},
    {"alignment",
     "share of a token’s experts that a neighbouring token chose too, mean over all pairs of neighbours; 0 to 1",
     &RoutingTerms::alignment, &RoutingLambdas::alignment, true},
    {"cohesion", "mean cosine of a chosen expert’s centre and the mean centre of the token’s group; −1 to 1",
     &RoutingTerms::cohesion, &RoutingLambdas::cohesion, true},
    {"nash",
     "what a token would gain by its best response, mean over the tokens, in the unit of the similarity; "
     "from 0, which is a Nash equilibrium",
     &RoutingTerms::nash, &RoutingLambdas::nash, false},
};

// The balance of a routing is above 0 always; one that is not was not computed.
bool Computed(const RouterRow& row) { return std::isfinite(row.terms.balance) && row.terms.balance > 0; }

}  // namespace

std::string TermsHtml(const RoutingReport& report) {
  std::vector<const RouterRow*> rows;
  for (const RouterRow& row : report.routers) {
    if (Computed(row)) rows.push_back(&row);
  }
  if (rows.empty()) return "";
  std::vector<std::string> headings;
  for (const RouterRow* row : rows) headings.push_back(row->name);
  std::vector<Table::Column> columns = {{"term"}, {"counts"}};
  for (const std::string& heading : headings) columns.push_back({heading});
  Table table("Terms of the balancing loss", std::move(columns));
  const auto add = [&](std::string_view name, std::string lambda, const auto& value, std::string_view meaning,
                       bool total = false) {
    std::vector<std::string> cells = {Cat(name, "<span class=\"second\">", meaning, "</span>"), std::move(lambda)};
    for (const RouterRow* row : rows) cells.push_back(value(*row));
    total ? table.AddTotal(std::move(cells)) : table.Add(std::move(cells));
  };
  add(
      "cross-entropy", "+ 1",
      [&](const RouterRow& row) { return HasLoss(report, row) ? Significant(row.mean_nll, 4) : NotMeasured(); },
      "the loss itself, nats a token");
  for (const Term& term : kTerms) {
    const double lambda = report.settings.lambdas.*term.lambda;
    add(
        term.name, lambda == 0 ? "0" : Cat(term.wanted ? "− " : "+ ", Given(lambda)),
        [&](const RouterRow& row) { return IfMeasured(row.terms.*term.value, Significant(row.terms.*term.value, 3)); },
        term.meaning);
  }
  add(
      "total", "",
      [&](const RouterRow& row) {
        return HasLoss(report, row) && std::isfinite(row.terms.total) ? Significant(row.terms.total, 4) : NotMeasured();
      },
      "nats a token", /*total=*/true);
  return Section(
      "terms", "The balancing loss",
      Cat("<p>A router that is trained with these terms beside its loss comes nearer to the game’s equilibrium by "
          "itself. The total is "
          "the sum of all, each times what it counts; what is wanted counts against the loss.</p>\n",
          table.ToHtml(), "<p class=\"fine\">Means over the layers and their batches, weighed by tokens.</p>\n"));
}

}  // namespace nashswarm::report
