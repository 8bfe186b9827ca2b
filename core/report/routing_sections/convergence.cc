// How the game came to its end, round by round.
#include <cmath>

#include "core/report/html.h"
#include "core/report/line_chart.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

// A chart of the values from round `first` on, or "" when none is a number.
std::string Chart(LineChart chart, const std::vector<double>& values, int first, int last, double factor = 1) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) chart.points.push_back({static_cast<double>(i) + first, factor * values[i]});
  }
  if (chart.points.empty()) return "";
  chart.x_name = "round";
  chart.first = first;
  chart.last = std::max(last, first + 1);
  return Figure(Both(kHalfWidth, [&](const Layout& layout) { return Draw(chart, layout); }), "", "");
}

std::string Ending(const RoutingReport& report) {
  const RouterRow* game = RouterNamed(report, kGameRow);
  if (game == nullptr || game->batches == 0) return "";
  const std::string rounds = std::isfinite(game->rounds) ? Cat(" It took ", Fixed(game->rounds, 1), " rounds on average, at most ",
                                                              std::to_string(game->most_rounds), ".") : "";
  return Cat(rounds, " ", Grouped(game->nash_batches), " of ", Grouped(game->batches),
             " batches ended at a Nash equilibrium, where no token gains by moving alone.");
}

}  // namespace

std::string ConvergenceHtml(const RoutingReport& report) {
  const Convergence& c = report.convergence;
  const int rounds = static_cast<int>(std::max({c.potential.size(), c.cohesion.size(), c.moved.size() + 1})) - 1;
  const std::string charts =
      Chart({.id = "potential", .title = "The potential, round by round", .y_name = "potential above the start, logits a token"}, c.potential, 0, rounds) +
      Chart({.id = "moved", .title = "Tokens that moved, round by round", .y_name = "tokens that moved, %", .y_axis = LineChart::YAxis::kFromZero},
            c.moved, 1, rounds, 100) +
      Chart({.id = "cohesion", .title = "Cohesion, round by round", .y_name = "cohesion (mean cosine)"}, c.cohesion, 0, rounds);
  if (charts.empty()) return "";
  return Section("convergence", "On the way to equilibrium",
                 Cat("<p>The tokens of a batch start from the model’s own choice and move, one after another, to what serves them best. "
                     "Every move raises the potential, so the game comes to an end.", Ending(report), "</p>\n<div class=\"pair\">\n", charts, "</div>\n",
                     "<p class=\"fine\">Means over the batches of all layers; one that has ended keeps its last value. Cohesion: the cosine of a "
                     "chosen expert’s centre and the mean centre of the experts nearest to the token.</p>\n"));
}

}  // namespace nashswarm::report
