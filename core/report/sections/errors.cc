// What each tensor lost: its own relative error, and its share of the loss the plan counts on.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

constexpr size_t kNamed = 5;
constexpr double kHeight = 250;

struct Item {
  const TensorRow* tensor;
  double value;
};

// Greatest first; of equal ones the first in the file.
std::vector<Item> Sorted(const Report& report, double (*value)(const TensorRow&)) {
  std::vector<Item> items;
  for (const TensorRow& t : report.tensors) {
    if (!t.vector && std::isfinite(value(t)) && value(t) > 0) items.push_back({&t, value(t)});
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.value > b.value; });
  return items;
}

std::string RankChart(std::string_view id, const std::vector<Item>& items, const Layout& layout, std::string_view title,
                      std::string_view name, bool bars, double factor) {
  Range range;
  for (const Item& item : items) range.Add(factor * item.value);
  Frame frame = {0, 34, layout.width - 8, kHeight - 42};
  const Scale y = bars ? Scale::FromZero(range, 0.06, frame.bottom, frame.top)
                  : WantsLog(range) ? Scale::Log(range, 0.06, frame.bottom, frame.top)
                                    : Scale::FromZero(range, 0.08, frame.bottom, frame.top);
  const std::vector<Tick> ticks = TicksFor(y, 5);
  frame.left = YAxisRoom(ticks);
  const double step = (frame.right - frame.left) / static_cast<double>(items.size());
  Svg svg(id, layout, kHeight, title,
          Cat(Grouped(items.size()), " tensors, from ", Significant(factor * items.front().value), " down to ",
              Significant(factor * items.back().value), "; ", name));
  DrawYAxis(svg, frame, y, ticks, name);
  std::vector<Tick> ranks;
  Range positions;
  positions.Add(0.5);
  positions.Add(items.size() + 0.5);
  const Scale x = Scale::Linear(positions, 0, frame.left, frame.right);
  ranks = WholeTicks(1, std::max<double>(2, items.size()), items.size() <= 10 ? static_cast<int>(items.size()) : layout.narrow ? 5 : 6);
  std::erase_if(ranks, [&](const Tick& t) { return t.value < 1 || t.value > items.size(); });
  if (ranks.empty() || ranks.front().value > 1) ranks.insert(ranks.begin(), {1, "1"});
  DrawXAxis(svg, frame, x, ranks, bars ? "tensor, largest share first" : "tensor, worst first");
  for (size_t i = 0; i < items.size(); ++i) {
    const double value = factor * items[i].value;
    const std::string_view classes = i < kNamed ? "worst" : "rest";
    const std::string tooltip = layout.narrow ? "" : Cat(std::to_string(i + 1), ". ", items[i].tensor->name, "\n", items[i].tensor->format, ", ", Significant(value), " ", name);
    if (bars) {
      const double gap = step > 4 ? 1 : 0, width = std::min(step - gap, 24.0), middle = frame.left + (i + 0.5) * step;
      svg.Rect(middle - width / 2, y(value), width, frame.bottom - y(value), classes, tooltip);
    } else {
      svg.Mark(Shape::kCircle, {x(i + 1.0), y(value)}, std::clamp(step / 2, 1.5, 4.0), classes, tooltip);
    }
  }
  return svg.ToString();
}

// A long name may wrap where its parts meet.
std::string NameHtml(const std::string& name) {
  std::string out;
  for (const char c : Escape(name)) {
    out += c;
    if (c == '.' || c == '/' || c == '_') out += "<wbr/>";
  }
  return out;
}

std::string WorstList(const std::vector<Item>& items, bool share) {
  std::string out = "<ol class=\"worst-list\">\n";
  for (size_t i = 0; i < std::min(items.size(), kNamed); ++i) {
    const TensorRow& t = *items[i].tensor;
    out += Cat("<li><span class=\"tensor\">", NameHtml(t.name), "</span> <span class=\"value\">", Escape(t.format), ", ",
               share ? Percent(items[i].value) : Significant(items[i].value), "</span></li>\n");
  }
  return out + "</ol>\n";
}

std::string TensorTable(const Report& report, double total_loss) {
  Table table("Every tensor", {{"tensor"},
                               {"role", Table::Align::kText},
                               {"layer"},
                               {"weights"},
                               {"format", Table::Align::kText},
                               {"bits per weight"},
                               {"relative error"},
                               {"share of loss"}});
  for (const TensorRow& t : report.tensors) {
    const std::string exact = "<span class=\"none\">exact</span>";
    const bool share = total_loss > 0 && std::isfinite(t.predicted_loss) && !t.vector;
    table.Add({NameHtml(t.name), NameHtml(t.role), t.layer < 0 ? "<span class=\"none\">outside</span>" : std::to_string(t.layer),
               Grouped(t.weights), Escape(t.format), Fixed(t.bits_per_weight, 2),
               t.relative_error == 0 ? exact : Significant(t.relative_error),
               share ? Percent(t.predicted_loss / total_loss, 2) : std::string(kNothing)});
  }
  return Cat("<details>\n<summary>All ", Grouped(report.tensors.size()), " tensors</summary>\n", table.ToHtml(), "</details>\n");
}

}  // namespace

std::string ErrorsHtml(const Report& report) {
  if (report.tensors.empty()) return "";
  const std::vector<Item> errors = Sorted(report, [](const TensorRow& t) { return t.relative_error; });
  std::vector<Item> losses = Sorted(report, [](const TensorRow& t) { return t.predicted_loss; });
  double total = 0;
  for (const Item& item : losses) total += item.value;
  if (!std::isfinite(total)) losses.clear();
  for (Item& item : losses) item.value /= total;
  std::string charts;
  if (!errors.empty()) {
    const std::string drawing = Both(kHalfWidth, [&](const Layout& layout) {
      return RankChart("relative-error", errors, layout, "Relative error of every tensor", "relative error", /*bars=*/false, 1);
    });
    charts += Figure(drawing, "", "Squared error over squared weights, measured on the encoded tensors. The worst, marked:");
    charts.insert(charts.rfind("</figcaption>") + 14, WorstList(errors, false));
  }
  if (!losses.empty()) {
    const std::string drawing = Both(kHalfWidth, [&](const Layout& layout) {
      return RankChart("loss-share", losses, layout, "Share of the predicted loss of every tensor", "share of predicted loss, %", /*bars=*/true, 100);
    });
    charts += Figure(drawing, "", "What the plan counts on: the error, times how much the model's loss feels it. The largest, marked:");
    charts.insert(charts.rfind("</figcaption>") + 14, WorstList(losses, true));
  }
  const size_t players = std::count_if(report.tensors.begin(), report.tensors.end(), [](const TensorRow& t) { return !t.vector; });
  std::string note;
  if (players > errors.size()) {
    note = Cat("<p class=\"fine\">", Grouped(players - errors.size()), players - errors.size() == 1 ? " tensor" : " tensors", " without error not drawn.</p>\n");
  }
  return Section("errors", "Error by tensor",
                 Cat(charts.empty() ? "" : Cat("<div class=\"pair\">\n", charts, "</div>\n"), note, TensorTable(report, total)));
}

}  // namespace nashswarm::report
