// The search over whole plans: what each step found, and what each part of the method is worth.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

constexpr double kHeight = 250;

bool Drawable(double kl) { return std::isfinite(kl) && kl >= 0; }

std::string StepName(const SearchStep& step) {
  if (step.step == "equilibrium") return "the game's equilibrium";
  if (step.step == "context") return "best response in context";
  if (step.step == "swarm") return Cat("swarm of ", std::to_string(step.plans));
  return step.step;
}

// The plan kept as a line, the plans measured as marks.
std::string Chart(const std::vector<SearchStep>& trace, const Layout& layout) {
  Range range;
  for (const SearchStep& step : trace) {
    if (Drawable(step.mean_kl)) range.Add(step.mean_kl);
    if (step.tried_kl && Drawable(*step.tried_kl)) range.Add(*step.tried_kl);
  }
  Frame frame = {0, 34, layout.width - 8, kHeight - 42};
  const Scale y = WantsLog(range) ? Scale::Log(range, 0.08, frame.bottom, frame.top) : Scale::Linear(range, 0.12, frame.bottom, frame.top);
  const std::vector<Tick> ticks = TicksFor(y, 5);
  frame.left = YAxisRoom(ticks);
  const int count = std::max<int>(2, static_cast<int>(trace.size()));
  Range numbers;
  numbers.Add(1);
  numbers.Add(count);
  const Scale x = Scale::Linear(numbers, 0.03, frame.left, frame.right);
  Svg svg("search", layout, kHeight, "The measured divergence, step by step of the search",
          Cat(std::to_string(trace.size()), " steps, mean KL from ", Significant(trace.front().mean_kl), " to ",
              Significant(trace.back().mean_kl), " nats a token"));
  DrawYAxis(svg, frame, y, ticks, "mean KL, nats a token");
  std::vector<Tick> x_ticks = WholeTicks(1, count, layout.narrow ? 6 : 8);
  if (x_ticks.empty() || x_ticks.front().value > 1) x_ticks.insert(x_ticks.begin(), {1, "1"});
  DrawXAxis(svg, frame, x, x_ticks, "step");
  std::vector<Point> line;
  for (size_t i = 0; i < trace.size(); ++i) {
    if (Drawable(trace[i].mean_kl)) line.push_back({x(static_cast<double>(i + 1)), y(trace[i].mean_kl)});
  }
  svg.Path(line, "curve");
  for (size_t i = 0; i < trace.size(); ++i) {
    const SearchStep& step = trace[i];
    if (!step.tried_kl || !Drawable(*step.tried_kl)) continue;
    svg.Mark(step.kept ? Shape::kCircle : Shape::kDiamond, {x(static_cast<double>(i + 1)), y(*step.tried_kl)}, 4.5,
             step.kept ? "ours" : "base",
             Cat("step ", std::to_string(i + 1), ", ", StepName(step), ": ", Significant(*step.tried_kl, 4), " nats, ",
                 step.kept ? "kept" : "not kept"));
  }
  return svg.ToString();
}

std::string TraceHtml(const std::vector<SearchStep>& trace) {
  Table table("Steps of the search", {{"step"}, {"what", Table::Align::kText}, {"plans tried"}, {"mean KL"}, {"of the plan kept"},
                                      {"result", Table::Align::kText}});
  for (size_t i = 0; i < trace.size(); ++i) {
    const SearchStep& step = trace[i];
    table.Add({std::to_string(i + 1), Escape(StepName(step)), std::to_string(step.plans),
               step.tried_kl ? Significant(*step.tried_kl, 4) : NotMeasured(), Significant(step.mean_kl, 4),
               step.kept ? "<span class=\"pass\">✓ kept</span>" : step.tried_kl ? "<span class=\"miss\">✗ no better</span>" : "nothing new"});
  }
  return table.ToHtml();
}

std::string VariantName(const std::string& name) {
  if (name == "uniform") return "uniform: a tensor counts by its number of weights";
  if (name == "game") return "game: the equilibrium";
  if (name == "swarm only") return "swarm only: its factors on uniform's weights";
  if (name == "both") return "both: the plan kept";
  return name;
}

std::string AblationHtml(const std::vector<SearchVariant>& ablation) {
  if (ablation.empty()) return "";
  Table table("What each part is worth", {{"plan", Table::Align::kText}, {"size"}, {"bits per weight"}, {"mean KL"}});
  for (const SearchVariant& variant : ablation) {
    table.Add({Escape(VariantName(variant.name)), BytesHtml(variant.bytes), Fixed(variant.bits_per_weight, 3), Significant(variant.mean_kl, 4)},
              variant.name == "both");
  }
  return Cat("<p>What each part is worth, at the same size on the same text:</p>\n", table.ToHtml());
}

}  // namespace

std::string SearchHtml(const Report& report) {
  if (!report.search || report.search->trace.empty()) return "";
  const SearchReport& search = *report.search;
  const bool drawable = std::any_of(search.trace.begin(), search.trace.end(), [](const SearchStep& step) { return Drawable(step.mean_kl); });
  const std::string text = search.text.empty() ? "" : Cat(" Measured on ", Escape(search.text), " (", Grouped(search.tokens), " of them scored).");
  std::string body = Cat("<p>Plans near the game's were made to the same size and measured; one is kept only if it did better.", text,
                         " They were chosen by these figures, so look at the headline for how the kept one does on other text.</p>\n");
  if (drawable && search.trace.size() > 1) {
    const std::string legend =
        Legend({{LegendEntry::Kind::kLineAndMark, Shape::kCircle, "ours", "curve", "the plan kept"},
                {LegendEntry::Kind::kMark, Shape::kDiamond, "base", "", "measured, not kept"}});
    body += Figure(Both(kWideWidth, [&](const Layout& layout) { return Chart(search.trace, layout); }), legend, "");
  }
  body += TraceHtml(search.trace);
  body += AblationHtml(search.ablation);
  return Section("search", "The search over whole plans", body);
}

}  // namespace nashswarm::report
