// How the price of a byte moved until the bytes met the target.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/line_chart.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

LineChart StepChart(std::string_view id, std::vector<Point> steps, std::string_view title, std::string_view name, size_t count) {
  LineChart chart;
  chart.id = id;
  chart.title = title;
  chart.x_name = "step";
  chart.y_name = name;
  chart.points = std::move(steps);
  chart.last = std::max(2, static_cast<int>(count));
  return chart;
}

std::string DrawBoth(const LineChart& chart) {
  return Figure(Both(kHalfWidth, [&](const Layout& layout) { return Draw(chart, layout); }), "", "");
}

}  // namespace

std::string PricePathHtml(const Report& report) {
  std::vector<Point> prices, bytes;
  for (size_t i = 0; i < report.price_path.size(); ++i) {
    const PriceStep& step = report.price_path[i];
    const double number = static_cast<double>(i) + 1;
    if (std::isfinite(step.price) && step.price > 0) prices.push_back({number, step.price});
    if (step.bytes > 0) bytes.push_back({number, static_cast<double>(step.bytes)});
  }
  if (prices.size() < 2 || bytes.size() < 2) return "";
  double largest = static_cast<double>(report.chosen_bytes);
  for (const Point& step : bytes) largest = std::max(largest, step.y);
  const ByteUnit unit = UnitFor(largest);
  for (Point& step : bytes) step.y /= unit.bytes;
  const size_t priced = prices.size(), count = report.price_path.size();
  LineChart price = StepChart("price", std::move(prices), "The price of a byte, step by step",
                              report.loss_is_kl ? "price, nats a byte" : "price, loss a byte", count);
  price.y_axis = LineChart::YAxis::kLog;
  LineChart size = StepChart("size", std::move(bytes), "The size of the file at each price", Cat("file size, ", unit.name), count);
  size.y_axis = LineChart::YAxis::kLinearOrLog;
  size.reference = static_cast<double>(report.chosen_bytes) / unit.bytes;
  size.reference_label = Cat("this plan: ", Bytes(report.chosen_bytes));
  const std::string lead =
      "<p>Every tensor takes the format that is best for it at the price of a byte. The price moves until what they take together "
      "meets the target; then none wants to change.</p>\n";
  std::string note;
  if (const size_t free = count - priced; free > 0) {
    note = Cat("<p class=\"fine\">", std::to_string(free), free == 1 ? " step" : " steps", " at a price of 0 cannot be drawn on the logarithmic axis.</p>\n");
  }
  return Section("price-path", "The price on its way to equilibrium",
                 Cat(lead, "<div class=\"pair\">\n", DrawBoth(price), DrawBoth(size), "</div>\n", note));
}

}  // namespace nashswarm::report
