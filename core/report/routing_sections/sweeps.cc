// What the game would do at other settings: losses against hit rates, or against variations of load.
#include <algorithm>
#include <cmath>
#include <optional>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

constexpr double kHeight = 320;

struct Marked {
  Point at;  // in data
  std::string label, tooltip;
  bool chosen = false;
};

// A sweep as it is drawn, both axes in the units of their names.
struct Curve {
  std::string_view id;
  std::string title, x_name, caption;
  std::vector<Marked> points;
  std::optional<Marked> model;  // the model's own router
  double limit = 0;             // on the loss change, %; none at 0
};

bool OfLoads(const RoutingSweep& sweep) { return sweep.parameter == "alpha"; }
double X(const RoutingSweep& sweep, double hit_rate, double variation) {
  return OfLoads(sweep) ? variation : 100 * hit_rate;
}

std::string What(const RoutingSweep& sweep, double nll_change, double hit_rate, double variation) {
  return Cat("loss ", SignedPercent(nll_change), ", ",
             OfLoads(sweep) ? Cat("variation of load ", Fixed(variation, 3)) : Cat("hit rate ", Percent(hit_rate)));
}

std::vector<Marked> Points(const RoutingSweep& sweep) {
  std::vector<Marked> points;
  for (const RoutingPoint& p : sweep.points) {
    const Point at = {X(sweep, p.hit_rate, p.load_variation), 100 * p.nll_change};
    if (!std::isfinite(at.x) || !std::isfinite(at.y)) continue;
    const std::string value = std::isfinite(p.value) ? Given(p.value) : std::string(kNothing);
    points.push_back({at, p.chosen ? Cat("chosen: ", value) : value,
                      Cat(sweep.parameter, " ", value, p.chosen ? ", chosen" : "", "\n",
                          What(sweep, p.nll_change, p.hit_rate, p.load_variation)),
                      p.chosen});
  }
  return points;
}

// From no change on.
Range Losses(const Curve& curve) {
  Range losses;
  losses.Add(0);
  for (const Marked& m : curve.points) losses.Add(m.at.y);
  return losses;
}

std::string Draw(const Curve& curve, const Layout& layout) {
  Range xs, ys = Losses(curve);
  ys.Add(curve.limit);
  for (const Marked& m : curve.points) xs.Add(m.at.x);
  if (curve.model) xs.Add(curve.model->at.x);
  Frame frame = {0, 34, layout.width - 8, kHeight - 42};
  const Scale y =
      ys.low < 0 ? Scale::Linear(ys, 0.1, frame.bottom, frame.top) : Scale::FromZero(ys, 0.15, frame.bottom, frame.top);
  const std::vector<Tick> y_ticks = TicksFor(y, 5);
  frame.left = YAxisRoom(y_ticks);
  const Scale x = Scale::Linear(xs, 0.12, frame.left, frame.right);
  Svg svg(curve.id, layout, kHeight, curve.title,
          Cat(std::to_string(curve.points.size()), " settings, from ", curve.points.front().tooltip, " to ",
              curve.points.back().tooltip));
  DrawYAxis(svg, frame, y, y_ticks, "loss change, %");
  DrawXAxis(svg, frame, x, TicksFor(x, 5), curve.x_name);
  if (curve.limit > 0) svg.Line({frame.left, y(curve.limit)}, {frame.right, y(curve.limit)}, "reference");

  const auto at = [&](const Marked& m) { return Point{x(m.at.x), y(m.at.y)}; };
  std::vector<Point> line;
  for (const Marked& m : curve.points) line.push_back(at(m));
  svg.Path(line, "curve");
  LabelPlacer labels(frame);
  labels.BlockPath(line);
  if (curve.limit > 0) labels.BlockPath({{frame.left, y(curve.limit)}, {frame.right, y(curve.limit)}});
  for (const Marked& m : curve.points) {
    labels.Block(at(m), m.chosen ? 11 : 5);
    m.chosen ? svg.Mark(Shape::kDiamond, at(m), 7.5, "ours open", m.tooltip)
             : svg.Mark(Shape::kCircle, at(m), 3.5, "ours", m.tooltip);
  }
  if (curve.model) {
    labels.Block(at(*curve.model), 7);
    svg.Mark(Shape::kSquare, at(*curve.model), 5.5, "base", curve.model->tooltip);
  }
  // The chosen one first: it must not go without its label.
  for (const bool chosen : {true, false}) {
    for (const Marked& m : curve.points) {
      if (m.chosen == chosen) labels.Place(svg, at(m), m.label, chosen ? "label strong" : "label");
    }
  }
  return svg.ToString();
}

std::string CurveLegend(const std::vector<Curve>& curves) {
  using Kind = LegendEntry::Kind;
  std::vector<LegendEntry> entries = {{Kind::kLineAndMark, Shape::kCircle, "ours", "curve", "the game"}};
  const auto any = [&](const auto& has) { return std::any_of(curves.begin(), curves.end(), has); };
  const auto chosen = [](const Marked& m) { return m.chosen; };
  if (any([&](const Curve& curve) { return std::any_of(curve.points.begin(), curve.points.end(), chosen); })) {
    entries.push_back({Kind::kMark, Shape::kDiamond, "ours open", "", "the game at this report’s setting"});
  }
  if (any([](const Curve& curve) { return curve.model.has_value(); })) {
    entries.push_back({Kind::kMark, Shape::kSquare, "base", "", "the model’s own router"});
  }
  for (const Curve& curve : curves) {
    if (curve.limit <= 0) continue;
    entries.push_back({Kind::kLine, Shape::kCircle, "", "reference",
                       Cat("the limit on the loss, ", SignedPercent(curve.limit / 100))});
    break;
  }
  return Legend(entries);
}

std::string SweepTable(const RoutingSweep& sweep) {
  Table table(
      Cat("The game by ", sweep.parameter),
      {{sweep.parameter}, {"loss change"}, {"hit rate"}, {"loaded per token"}, {"variation of load"}, {"rounds"}});
  for (const RoutingPoint& p : sweep.points) {
    table.Add(
        {Cat(Given(p.value), p.chosen ? " (chosen)" : ""), IfMeasured(p.nll_change, SignedPercent(p.nll_change)),
         IfMeasured(p.hit_rate, Percent(p.hit_rate)), IfMeasured(p.bytes_per_token, RoundBytes(p.bytes_per_token)),
         IfMeasured(p.load_variation, Fixed(p.load_variation, 3)), IfMeasured(p.rounds, Fixed(p.rounds, 1))},
        p.chosen);
  }
  return Cat("<details>\n<summary>All numbers by ", Escape(sweep.parameter), "</summary>\n", table.ToHtml(),
             "</details>\n");
}

std::string Caption(const RoutingSweep& sweep) {
  const std::string numbers = Cat("Numbers beside marks: ", Escape(sweep.parameter), ".");
  if (sweep.text == kHeldOutText) return numbers;
  if (sweep.text.empty()) return numbers + " Not measured on the held-out text.";
  return Cat(numbers, " Measured on the ", Escape(sweep.text),
             ", not on the held-out text that the table above is of.");
}

Curve CurveOf(const RoutingReport& report, const RoutingSweep& sweep) {
  Curve curve;
  curve.points = Points(sweep);
  curve.x_name = OfLoads(sweep) ? "variation of load" : "hit rate, %";
  curve.title =
      Cat("Loss change against ", OfLoads(sweep) ? "variation of load" : "hit rate", ", by ", sweep.parameter);
  curve.caption = Caption(sweep);
  const RouterRow* model = RouterNamed(report, kModelRow);
  if (sweep.text == kHeldOutText && model != nullptr && HasLoss(report, *model)) {
    const Point at = {X(sweep, model->hit_rate, model->load_variation), 0};
    const std::string what = What(sweep, 0, model->hit_rate, model->load_variation);
    if (std::isfinite(at.x)) curve.model = Marked{at, "", Cat("the model’s own router\n", what)};
  }
  const double limit = 100 * report.settings.max_loss;
  const bool limited = report.settings.bonus_was_chosen && !OfLoads(sweep);
  if (limited && limit > 0 && limit <= 1.25 * Losses(curve).high)
    curve.limit = limit;  // one far above would leave the curve no room
  return curve;
}

}  // namespace

std::string SweepsHtml(const RoutingReport& report) {
  constexpr std::string_view kIds[] = {"sweep-0", "sweep-1", "sweep-2", "sweep-3"};
  std::vector<Curve> curves;
  std::string tables, figures;
  for (const RoutingSweep& sweep : report.sweeps) {
    if (sweep.points.empty()) continue;
    tables += SweepTable(sweep);
    Curve curve = CurveOf(report, sweep);
    if (curve.points.empty() || curves.size() == std::size(kIds)) continue;
    curve.id = kIds[curves.size()];
    curves.push_back(std::move(curve));
  }
  if (tables.empty()) return "";
  for (const Curve& curve : curves) {
    figures += Figure(Both(kHalfWidth, [&](const Layout& layout) { return Draw(curve, layout); }), "", curve.caption);
  }
  const std::string lead =
      "<p>What the game costs and what it brings, at other settings than this report’s; all but the one that varies "
      "stay as they are.</p>\n";
  return Section(
      "frontier", "Loss against hit rate and load",
      Cat(lead, figures.empty() ? "" : Cat(CurveLegend(curves), "<div class=\"pair\">\n", figures, "</div>\n"),
          tables));
}

}  // namespace nashswarm::report
