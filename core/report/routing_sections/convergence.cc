// How the game came to its end, round by round.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/line_chart.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

// Adds the chart of the values from round `first` on when any of them is a number.
void Add(LineChart chart, const std::vector<double>& values, int first, int last, std::vector<LineChart>* charts) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) chart.points.push_back({static_cast<double>(i) + first, values[i]});
  }
  if (chart.points.empty()) return;
  chart.x_name = "round";
  chart.first = first;
  chart.last = std::max(last, first + 1);
  charts->push_back(std::move(chart));
}

std::string Ending(const RoutingReport& report) {
  const RouterRow* game = RouterNamed(report, kGameRow);
  if (game == nullptr || game->batches == 0) return "";
  const std::string rounds = std::isfinite(game->rounds)
                                 ? Cat(" It took ", Fixed(game->rounds, 1), " rounds on average, at most ",
                                       std::to_string(game->most_rounds), ".")
                                 : "";
  return Cat(rounds, " ", Grouped(game->nash_batches), " of ", Grouped(game->batches),
             " batches ended at a Nash equilibrium, where no token gains by moving alone.");
}

}  // namespace

std::string ConvergenceHtml(const RoutingReport& report) {
  const Convergence& c = report.convergence;
  const int rounds = static_cast<int>(std::max({c.potential.size(), c.cohesion.size(), c.moved.size() + 1})) - 1;
  std::vector<double> moved = c.moved;
  for (double& share : moved) share *= 100;
  std::vector<LineChart> charts;
  Add({.id = "potential", .title = "The potential, round by round", .y_name = "potential a token"}, c.potential,
      0, rounds, &charts);
  Add({.id = "moved",
       .title = "Tokens that moved, round by round",
       .y_name = "tokens that moved, %",
       .y_axis = LineChart::YAxis::kFromZero},
      moved, 1, rounds, &charts);
  Add({.id = "cohesion", .title = "Cohesion, round by round", .y_name = "cohesion (mean cosine)"}, c.cohesion, 0,
      rounds, &charts);
  if (charts.empty()) return "";
  const bool three = charts.size() == 3;
  std::string figures;
  for (const LineChart& chart : charts) {
    figures += Figure(Both(three ? kThirdWidth : kHalfWidth, [&](const Layout& layout) { return Draw(chart, layout); }),
                      "", "");
  }
  return Section("convergence", "On the way to equilibrium",
                 Cat("<p>The tokens of a batch start from the model’s own choice and move, one after another, to what "
                     "serves them best. "
                     "Every move raises the potential, so the game comes to an end.",
                     Ending(report), "</p>\n<div class=\"", three ? "trio" : "pair", "\">\n", figures, "</div>\n",
                     "<p class=\"fine\">Means over the batches of all layers; one that has ended keeps its last value. "
                     "Potential: above that of the model’s own "
                     "choice. Cohesion: the cosine of a "
                     "chosen expert’s centre and the mean centre of the experts nearest to the token.</p>\n"));
}

}  // namespace nashswarm::report
