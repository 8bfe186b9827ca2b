#include "core/report/line_chart.h"

#include <algorithm>

#include "core/report/html.h"
#include "core/report/numbers.h"

namespace nashswarm::report {
namespace {

constexpr double kHeight = 250;

Scale YScale(const LineChart& chart, const Range& range, const Frame& frame) {
  using YAxis = LineChart::YAxis;
  if (chart.y_axis == YAxis::kLog || (chart.y_axis == YAxis::kLinearOrLog && WantsLog(range))) {
    return Scale::Log(range, 0.08, frame.bottom, frame.top);
  }
  if (chart.y_axis == YAxis::kFromZero) return Scale::FromZero(range, 0.08, frame.bottom, frame.top);
  return Scale::Linear(range, 0.12, frame.bottom, frame.top);
}

}  // namespace

std::string Draw(const LineChart& chart, const Layout& layout) {
  Range values, numbers;
  for (const Point& p : chart.points) values.Add(p.y);
  if (chart.reference > 0) values.Add(chart.reference);
  Frame frame = {0, 34, layout.width - 8, kHeight - 42};
  const Scale y = YScale(chart, values, frame);
  const std::vector<Tick> y_ticks = TicksFor(y, 5);
  frame.left = YAxisRoom(y_ticks);
  numbers.Add(chart.first);
  numbers.Add(chart.last);
  const Scale x = Scale::Linear(numbers, 0.03, frame.left, frame.right);
  Svg svg(chart.id, layout, kHeight, chart.title,
          Cat(std::to_string(chart.points.size()), " ", chart.x_name, "s, from ", Significant(chart.points.front().y),
              " to ", Significant(chart.points.back().y), "; ", chart.y_name));
  DrawYAxis(svg, frame, y, y_ticks, chart.y_name);
  std::vector<Tick> x_ticks = WholeTicks(chart.first, chart.last, layout.narrow ? 6 : 8);
  if (x_ticks.empty() || x_ticks.front().value > chart.first) {
    x_ticks.insert(x_ticks.begin(), {static_cast<double>(chart.first), std::to_string(chart.first)});
  }
  DrawXAxis(svg, frame, x, x_ticks, chart.x_name);
  std::vector<Point> line;
  for (const Point& p : chart.points) line.push_back({x(p.x), y(p.y)});
  svg.Path(line, "curve");
  for (size_t i = 0; i < line.size(); ++i) {
    svg.Mark(Shape::kCircle, line[i], i + 1 == line.size() ? 4.5 : 2.5, "ours",
             Cat(chart.x_name, " ", Fixed(chart.points[i].x, 0), ": ", Significant(chart.points[i].y, 4), " ",
                 chart.y_name));
  }
  if (chart.reference > 0) {
    const std::vector<Point> across = {{frame.left, y(chart.reference)}, {frame.right, y(chart.reference)}};
    svg.Line(across[0], across[1], "reference");
    LabelPlacer labels(frame);
    labels.BlockPath(line);
    labels.BlockPath(across);
    labels.Place(svg, {frame.right - TextWidth(chart.reference_label) / 2 - 4, across[0].y}, chart.reference_label,
                 "label strong");
  }
  return svg.ToString();
}

}  // namespace nashswarm::report
