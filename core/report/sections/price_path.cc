// How the price of a byte moved until the bytes met the target.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

struct Step {
  int number;
  double value;
};

constexpr double kHeight = 250;

std::string StepChart(std::string_view id, const std::vector<Step>& steps, const Layout& layout, std::string_view title,
                      std::string_view name, double divisor, double reference, std::string_view reference_label, int step_count) {
  Range range;
  for (const Step& step : steps) range.Add(step.value / divisor);
  if (reference > 0) range.Add(reference / divisor);
  Frame frame = {0, 34, layout.width - 8, kHeight - 42};
  const Scale y = WantsLog(range) || id == "price" ? Scale::Log(range, 0.08, frame.bottom, frame.top)
                                                   : Scale::Linear(range, 0.12, frame.bottom, frame.top);
  const std::vector<Tick> ticks = TicksFor(y, 5);
  frame.left = YAxisRoom(ticks);
  Range numbers;
  numbers.Add(1);
  numbers.Add(std::max(2, step_count));
  const Scale x = Scale::Linear(numbers, 0.03, frame.left, frame.right);
  Svg svg(id, layout, kHeight, title,
          Cat(std::to_string(steps.size()), " steps, from ", Significant(steps.front().value / divisor), " to ",
              Significant(steps.back().value / divisor), "; ", name));
  DrawYAxis(svg, frame, y, ticks, name);
  std::vector<Tick> x_ticks = WholeTicks(1, std::max(2, step_count), layout.narrow ? 6 : 8);
  if (x_ticks.empty() || x_ticks.front().value > 1) x_ticks.insert(x_ticks.begin(), {1, "1"});
  DrawXAxis(svg, frame, x, x_ticks, "step");
  LabelPlacer labels(frame);
  std::vector<Point> line;
  for (const Step& step : steps) line.push_back({x(step.number), y(step.value / divisor)});
  svg.Path(line, "curve");
  for (size_t i = 0; i < line.size(); ++i) {
    const bool last = i + 1 == line.size();
    svg.Mark(Shape::kCircle, line[i], last ? 4.5 : 2.5, "ours",
             Cat("step ", std::to_string(steps[i].number), ": ", Significant(steps[i].value / divisor, 4), " ", name));
  }
  if (reference > 0) {
    const double at = y(reference / divisor);
    svg.Line({frame.left, at}, {frame.right, at}, "reference");
    labels.BlockPath(line);
    labels.BlockPath({{frame.left, at}, {frame.right, at}});
    labels.Place(svg, {frame.right - TextWidth(reference_label) / 2 - 4, at}, reference_label, "label strong");
  }
  return svg.ToString();
}

}  // namespace

std::string PricePathHtml(const Report& report) {
  std::vector<Step> prices, bytes;
  for (size_t i = 0; i < report.price_path.size(); ++i) {
    const PriceStep& step = report.price_path[i];
    const int number = static_cast<int>(i) + 1;
    if (std::isfinite(step.price) && step.price > 0) prices.push_back({number, step.price});
    if (step.bytes > 0) bytes.push_back({number, static_cast<double>(step.bytes)});
  }
  if (prices.size() < 2 || bytes.size() < 2) return "";
  const int count = static_cast<int>(report.price_path.size());
  double largest = static_cast<double>(report.chosen_bytes);
  for (const Step& step : bytes) largest = std::max(largest, step.value);
  const ByteUnit unit = UnitFor(largest);
  const std::string price_name = report.loss_is_kl ? "price, nats a byte" : "price, loss a byte";
  const std::string price = Both(kHalfWidth, [&](const Layout& layout) {
    return StepChart("price", prices, layout, "The price of a byte, step by step", price_name, 1, 0, "", count);
  });
  const std::string size = Both(kHalfWidth, [&](const Layout& layout) {
    return StepChart("size", bytes, layout, "The size of the file at each price", Cat("file size, ", unit.name), unit.bytes,
                     static_cast<double>(report.chosen_bytes), Cat("this plan: ", Bytes(report.chosen_bytes)), count);
  });
  const std::string lead =
      "<p>Every tensor takes the format that is best for it at the price of a byte. The price moves until what they take together "
      "meets the target; then none wants to change.</p>\n";
  std::string note;
  if (const size_t free = report.price_path.size() - prices.size(); free > 0) {
    note = Cat("<p class=\"fine\">", std::to_string(free), free == 1 ? " step" : " steps", " at a price of 0 cannot be drawn on the logarithmic axis.</p>\n");
  }
  return Section("price-path", "The price on its way to equilibrium",
                 Cat(lead, "<div class=\"pair\">\n", Figure(price, "", ""), Figure(size, "", ""), "</div>\n", note));
}

}  // namespace nashswarm::report
