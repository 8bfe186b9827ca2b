#include "core/report/frontier_svg.h"

#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

// The colours of the report's page (style.h), written out: many viewers of SVG files know no CSS variables, and those that know
// no media queries show the light ones.
constexpr char kFileStyle[] = R"css(
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
text{font-size:12px;fill:#18212c;font-variant-numeric:tabular-nums}
text.heading{font-size:16px;font-weight:650}
text.tick,text.name{fill:#55616e}
text.label{fill:#b04a00;font-weight:650}
text.mid{text-anchor:middle}
text.end{text-anchor:end}
.page{fill:#fdfdfc}
.grid{stroke:#eceff2;stroke-width:1}
.axis{stroke:#d9dee3;stroke-width:1}
.leader{stroke:#55616e;stroke-width:.75}
.whisker{stroke:#55616e;stroke-width:1.25}
.curve{fill:none;stroke:#0b5cad;stroke-width:1.75;stroke-linejoin:round}
.predicted{fill:#0b5cad}
.measured{fill:#b04a00}
@media (prefers-color-scheme:dark){
text{fill:#e6ebf0}
text.tick,text.name{fill:#a3afbb}
text.label{fill:#f2a25c}
.page{fill:#11161c}
.grid{stroke:#232b34}
.axis{stroke:#36414c}
.leader,.whisker{stroke:#a3afbb}
.curve{stroke:#6fb3f2}
.predicted{fill:#6fb3f2}
.measured{fill:#f2a25c}
}
)css";

constexpr double kHeight = 500, kMargin = 16;

// What can be drawn.
struct Data {
  std::vector<Point> predicted;           // bytes, loss
  std::vector<MeasuredPoint> measured;
  Range bytes, loss;
  size_t homeless = 0;                    // without a place on a logarithmic axis
};

bool HasPlace(uint64_t bytes, double loss) { return bytes > 0 && std::isfinite(loss) && loss > 0; }

Data Collect(const FrontierChart& chart) {
  Data data;
  const auto add = [&data](uint64_t bytes, double loss) {
    data.bytes.Add(static_cast<double>(bytes));
    data.loss.Add(loss);
  };
  for (const FrontierPoint& p : chart.predicted) {
    if (!HasPlace(p.bytes, p.predicted_loss)) {
      ++data.homeless;
      continue;
    }
    data.predicted.push_back({static_cast<double>(p.bytes), p.predicted_loss});
    add(p.bytes, p.predicted_loss);
  }
  if (!chart.loss_is_kl) return data;
  for (const MeasuredPoint& m : chart.measured) {
    if (!HasPlace(m.bytes, m.mean_kl)) {
      ++data.homeless;
      continue;
    }
    data.measured.push_back(m);
    add(m.bytes, m.mean_kl);
  }
  return data;
}

std::string LossText(const FrontierChart& chart) {
  return chart.loss_is_kl ? "mean KL divergence from the checkpoint, nats a token" : "relative squared error of the weights";
}

std::string Description(const FrontierChart& chart, const Data& data) {
  std::string text = Cat("Loss (", LossText(chart), ") against the size of the file, on a logarithmic axis. ");
  for (const Point& p : data.predicted) {
    text += Cat("Predicted ", Significant(p.y), " at ", BytesAndBits(static_cast<uint64_t>(p.x), chart.parameters), ". ");
  }
  for (const MeasuredPoint& m : data.measured) {
    text += Cat("Measured ", Significant(m.mean_kl), " at ", BytesAndBits(m.bytes, chart.parameters), ". ");
  }
  if (data.homeless > 0) text += Cat(std::to_string(data.homeless), data.homeless == 1 ? " point" : " points", " without loss not drawn. ");
  text.pop_back();
  return text;
}

void DrawLegend(Svg& svg, const Data& data, double y) {
  double x = kMargin;
  const auto entry = [&](std::string_view text) {
    svg.Text({x + 32, y + 4}, Anchor::kStart, text);
    x += 32 + TextWidth(text) + 20;
  };
  if (!data.predicted.empty()) {
    svg.Line({x, y}, {x + 24, y}, "curve");
    svg.Mark(Shape::kCircle, {x + 12, y}, 2.5, "predicted");
    entry("predicted: the best plan of each size");
  }
  if (!data.measured.empty()) {
    svg.Mark(Shape::kDiamond, {x + 12, y}, 5, "measured");
    entry("measured: the file itself, on text that did not calibrate it");
  }
}

void DrawMeasured(Svg& svg, const FrontierChart& chart, const Data& data, const Scale& x, const Scale& y, LabelPlacer* labels) {
  for (const MeasuredPoint& m : data.measured) labels->Block({x(static_cast<double>(m.bytes)), y(m.mean_kl)}, 8);
  for (const MeasuredPoint& m : data.measured) {
    const double at = x(static_cast<double>(m.bytes));
    if (m.mean_kl_stderr > 0 && std::isfinite(m.mean_kl_stderr)) {
      svg.Line({at, y(std::max(m.mean_kl - m.mean_kl_stderr, y.low()))}, {at, y(std::min(m.mean_kl + m.mean_kl_stderr, y.high()))}, "whisker");
    }
    svg.Mark(Shape::kDiamond, {at, y(m.mean_kl)}, 5, "measured",
             Cat("measured ", Significant(m.mean_kl), " at ", BytesAndBits(m.bytes, chart.parameters)));
  }
  for (const MeasuredPoint& m : data.measured) {
    labels->Place(svg, {x(static_cast<double>(m.bytes)), y(m.mean_kl)}, Significant(m.mean_kl), "label");
  }
}

}  // namespace

std::string ToSvg(const FrontierChart& chart) {
  const Data data = Collect(chart);
  const std::string title = Cat("Size against loss: ", chart.model, " as ", chart.format);
  Svg svg("frontier", {.narrow = false, .width = kWideWidth}, kHeight, title, Description(chart, data));
  svg.Text({kMargin, 30}, Anchor::kStart, title, "heading");
  if (data.loss.empty) {
    svg.Text({kMargin, 60}, Anchor::kStart, "There is no loss to draw.", "name");
    return svg.ToFile(kFileStyle);
  }
  DrawLegend(svg, data, 54);
  Frame frame = {0, 126, kWideWidth - kMargin, kHeight - 48};
  const Scale y = Scale::Log(data.loss, 0.06, frame.bottom, frame.top);
  const std::vector<Tick> y_ticks = TicksFor(y, 7);
  frame.left = kMargin + YAxisRoom(y_ticks);
  const Scale x = Scale::Linear(data.bytes, 0.04, frame.left, frame.right);
  DrawYAxis(svg, frame, y, y_ticks, "");
  svg.Text({kMargin, frame.top - 30}, Anchor::kStart, LossText(chart), "name");
  DrawSizeAxes(svg, frame, x, chart.parameters);

  std::vector<Point> line;
  for (const Point& p : data.predicted) line.push_back({x(p.x), y(p.y)});
  svg.Path(line, "curve");
  LabelPlacer labels(frame);
  labels.BlockPath(line);
  for (size_t i = 0; i < line.size(); ++i) {
    svg.Mark(Shape::kCircle, line[i], 2.5, "predicted",
             Cat("predicted ", Significant(data.predicted[i].y), " at ", BytesAndBits(static_cast<uint64_t>(data.predicted[i].x), chart.parameters)));
  }
  DrawMeasured(svg, chart, data, x, y, &labels);
  return svg.ToFile(kFileStyle);
}

}  // namespace nashswarm::report
