// Loss against size: what the game predicts for every size, and where whole artifacts that were measured lie.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

// What is drawn: sizes from and up to so many times those that are marked, or the frontier would run on to the size of a
// checkpoint where nothing is lost any more; and no loss beyond what a model can still be called one with.
constexpr double kBelowMarks = 0.6, kBeyondMarks = 1.15, kBeyondOurs = 1.5, kSenselessKl = 8, kSenselessRatio = 300;

struct Marked {
  double bytes, loss;
  Shape shape;
  std::string classes, label, tooltip;
  double stderr_kl = 0;
};

struct Data {
  std::vector<Point> curve;       // bytes, predicted loss
  std::vector<Marked> predicted;  // the chosen plan
  std::vector<Marked> measured;
  Range bytes, loss;
  bool log_loss = false;
  int dropped = 0;                // points without a place on a logarithmic axis
  int cut = 0;                    // points of the frontier that are not drawn
  int senseless = 0;              // marks that are not drawn
};

// Weighted errors have no unit that says anything: they are drawn relative to the chosen plan's.
double UnitOf(const Report& report) {
  const bool relative = !report.loss_is_kl && report.chosen_bytes > 0 && report.chosen_predicted_loss > 0;
  return relative && std::isfinite(report.chosen_predicted_loss) ? report.chosen_predicted_loss : 1;
}

std::string AxisName(const Report& report, const Data& data) {
  if (!data.measured.empty()) return "loss (mean KL, nats)";
  return UnitOf(report) == 1 ? LossName(report) : "weighted error, this plan = 1";
}

// How far the plan's prediction was from what was measured on the file; "" where they cannot be compared.
std::string Kept(const Report& report) {
  const Row* ours = ArtifactRow(report);
  const Quality* q = ours == nullptr ? nullptr : MeasuredQuality(*ours);
  if (!report.loss_is_kl || q == nullptr || report.chosen_bytes == 0 || !std::isfinite(q->mean_kl)) return "";
  const std::string error = q->mean_kl_stderr > 0 ? Cat(" ± ", Significant(q->mean_kl_stderr, 2)) : "";
  return Cat("This file: mean KL predicted ", Significant(report.chosen_predicted_loss), ", measured ", Significant(q->mean_kl), error,
             " nats.");
}

std::string SizeText(const Report& report, double bytes) { return BytesAndBits(static_cast<uint64_t>(bytes), report.parameters); }

// Beside a mark there is little room.
std::string ShortName(const Row& row) {
  constexpr std::string_view kRounding = "rounding in ";
  return row.name.starts_with(kRounding) ? row.name.substr(kRounding.size()) : row.name;
}

void AddMeasured(const Report& report, Data* data) {
  const auto add = [&](uint64_t bytes, double kl, double error, Shape shape, std::string_view classes, std::string_view label,
                       std::string_view what) {
    if (bytes == 0 || !std::isfinite(kl) || kl <= 0) return;  // the checkpoint itself has no loss, so no place here
    data->measured.push_back({static_cast<double>(bytes), kl, shape, std::string(classes), std::string(label),
                              Cat(what, ": measured mean KL ", Significant(kl), " nats at ", SizeText(report, bytes)), error});
  };
  const Row* ours = ArtifactRow(report);
  for (size_t i = 0; i < report.trials.size(); ++i) {
    const Trial& t = report.trials[i];
    if (ours != nullptr && ours->bytes == t.bytes && MeasuredQuality(*ours) != nullptr) continue;  // drawn as this file
    add(t.bytes, t.mean_kl, 0, Shape::kTriangle, t.passed ? "trial" : "trial hollow", "",
        Cat("trial ", std::to_string(i + 1), t.passed ? ", within the limit" : ", over the limit"));
  }
  for (const Row& row : report.headline) {
    const Quality* q = MeasuredQuality(row);
    if (q == nullptr) continue;
    add(row.bytes, q->mean_kl, q->mean_kl_stderr, row.is_artifact ? Shape::kCircle : Shape::kSquare,
        row.is_artifact ? "ours" : "base", row.is_artifact ? "this file" : ShortName(row), row.is_artifact ? "this file" : row.name);
  }
}

// Of a plan without measured losses: what else the same curves predict.
void AddPredicted(const Report& report, Data* data) {
  for (const Row& row : report.headline) {
    if (row.is_artifact || !row.predicted_loss || !std::isfinite(*row.predicted_loss) || row.bytes == 0) continue;
    const double bytes = static_cast<double>(row.bytes), loss = *row.predicted_loss / UnitOf(report);
    data->predicted.push_back({bytes, loss, Shape::kSquare, "base open", ShortName(row),
                               Cat(row.name, ": predicted ", Significant(loss), " at ", SizeText(report, bytes))});
  }
}

// Leaves out what would squeeze the rest into a corner.
void Clip(const Report& report, Data* data) {
  double largest = 0, smallest = 1e300, ours = 0, ours_bytes = 0;
  const auto look = [&](const std::vector<Marked>& marks) {
    for (const Marked& m : marks) {
      largest = std::max(largest, m.bytes);
      smallest = std::min(smallest, m.bytes);
      if (!m.classes.starts_with("ours")) continue;
      ours = std::max(ours, m.loss);
      ours_bytes = std::max(ours_bytes, m.bytes);
    }
  };
  look(data->predicted);
  look(data->measured);
  if (largest == 0) return;
  const double worst = report.loss_is_kl ? kSenselessKl : kSenselessRatio * ours;
  const auto senseless = [&](const Marked& m) { return !m.classes.starts_with("ours") && worst > 0 && m.loss > worst; };
  data->senseless = static_cast<int>(std::erase_if(data->measured, senseless) + std::erase_if(data->predicted, senseless));
  data->cut = static_cast<int>(std::erase_if(data->curve, [&](const Point& p) {
    return p.x < kBelowMarks * smallest || p.x > std::max(kBeyondMarks * largest, kBeyondOurs * ours_bytes) || (worst > 0 && p.y > worst);
  }));
}

bool Measured(const Report& report) {
  const Row* ours = ArtifactRow(report);
  return report.loss_is_kl && ours != nullptr && MeasuredQuality(*ours) != nullptr;
}

Data Collect(const Report& report) {
  Data data;
  for (const FrontierPoint& p : report.frontier) {
    if (p.bytes > 0 && std::isfinite(p.predicted_loss)) data.curve.push_back({static_cast<double>(p.bytes), p.predicted_loss / UnitOf(report)});
  }
  if (report.chosen_bytes > 0 && std::isfinite(report.chosen_predicted_loss)) {
    const double bytes = static_cast<double>(report.chosen_bytes), loss = report.chosen_predicted_loss / UnitOf(report);
    data.predicted.push_back({bytes, loss, Shape::kDiamond, "ours open", !Measured(report) ? "this file" : "",
                              Cat("chosen plan: predicted ", Significant(loss), " at ", SizeText(report, bytes))});
  }
  report.loss_is_kl ? AddMeasured(report, &data) : AddPredicted(report, &data);
  Clip(report, &data);
  Range positive;
  const auto look = [&](double loss) {
    if (loss > 0) positive.Add(loss);
  };
  for (const Point& p : data.curve) look(p.y);
  for (const Marked& m : data.predicted) look(m.loss);
  for (const Marked& m : data.measured) look(m.loss);
  data.log_loss = WantsLog(positive);
  const auto homeless = [&](double loss) { return data.log_loss && loss <= 0; };
  data.dropped = std::erase_if(data.curve, [&](const Point& p) { return homeless(p.y); }) +
                 std::erase_if(data.predicted, [&](const Marked& m) { return homeless(m.loss); });
  const auto add = [&](double bytes, double loss) {
    data.bytes.Add(bytes);
    data.loss.Add(loss);
  };
  for (const Point& p : data.curve) add(p.x, p.y);
  for (const Marked& m : data.predicted) add(m.bytes, m.loss);
  for (const Marked& m : data.measured) add(m.bytes, m.loss);
  return data;
}

std::string Draw(const Report& report, const Data& data, const Layout& layout) {
  const double height = layout.narrow ? 360 : 430;
  Frame frame = {0, 44, layout.width - 8, height - 46};
  const Scale y = data.log_loss ? Scale::Log(data.loss, 0.06, frame.bottom, frame.top)
                                : Scale::FromZero(data.loss, 0.08, frame.bottom, frame.top);
  const std::vector<Tick> y_ticks = TicksFor(y, layout.narrow ? 5 : 7);
  frame.left = YAxisRoom(y_ticks);
  const Scale x = Scale::Linear(data.bytes, 0.04, frame.left, frame.right);
  const auto at = [&](double bytes, double loss) { return Point{x(bytes), y(loss)}; };

  const std::string what = Cat(AxisName(report, data), " against file size. ", std::to_string(data.curve.size()), " points of the frontier",
                               data.predicted.empty() ? "" : Cat("; ", data.predicted[0].tooltip), ". ",
                               std::to_string(data.measured.size()), " measured points.");
  Svg svg("frontier", layout, height, "Size against loss", what);
  DrawYAxis(svg, frame, y, y_ticks, "");
  svg.Text({0, 14}, Anchor::kStart, AxisName(report, data), "name");
  DrawSizeAxes(svg, frame, x, report.parameters);

  LabelPlacer labels(frame);
  std::vector<Point> line;
  for (const Point& p : data.curve) line.push_back(at(p.x, p.y));
  svg.Path(line, "curve");
  labels.BlockPath(line);
  if (line.size() <= 60) {
    for (size_t i = 0; i < line.size(); ++i) {
      svg.Mark(Shape::kCircle, line[i], 2.5, "ours", Cat("predicted ", Significant(data.curve[i].y), " at ", SizeText(report, data.curve[i].x)));
    }
  }
  std::vector<Marked> marks = data.measured;
  marks.insert(marks.end(), data.predicted.begin(), data.predicted.end());
  for (const Marked& m : marks) labels.Block(at(m.bytes, m.loss), m.shape == Shape::kDiamond ? 11 : 7);
  for (const Marked& m : marks) {
    if (m.stderr_kl > 0 && std::isfinite(m.stderr_kl)) {
      const double low = std::max(m.loss - m.stderr_kl, data.log_loss ? y.low() : 0.0);
      svg.Line(at(m.bytes, low), at(m.bytes, std::min(m.loss + m.stderr_kl, y.high())), "whisker");
    }
    svg.Mark(m.shape, at(m.bytes, m.loss), m.shape == Shape::kDiamond ? 7.5 : 5.5, m.classes, m.tooltip);
  }
  // Ours first: it must not go without its label.
  std::stable_sort(marks.begin(), marks.end(), [](const Marked& a, const Marked& b) {
    return a.classes.starts_with("ours") > b.classes.starts_with("ours");
  });
  for (const Marked& m : marks) {
    if (!m.label.empty()) labels.Place(svg, at(m.bytes, m.loss), m.label, m.classes.starts_with("ours") ? "label strong" : "label");
  }
  return svg.ToString();
}

std::string FrontierLegend(const Data& data) {
  using Kind = LegendEntry::Kind;
  std::vector<LegendEntry> entries;
  if (!data.curve.empty()) entries.push_back({Kind::kLineAndMark, Shape::kCircle, "ours", "curve", "predicted: the best plan of each size"});
  const auto predicted = [&](std::string_view classes, Shape shape, std::string_view text) {
    const bool any = std::any_of(data.predicted.begin(), data.predicted.end(), [&](const Marked& m) { return m.classes == classes; });
    if (any) entries.push_back({Kind::kMark, shape, std::string(classes), "", std::string(text)});
  };
  predicted("ours open", Shape::kDiamond, "predicted: the chosen plan");
  predicted("base open", Shape::kSquare, "predicted: what else there is");
  const auto measured = [&](Shape shape, std::string_view classes, std::string_view text) {
    const bool any = std::any_of(data.measured.begin(), data.measured.end(),
                                 [&](const Marked& m) { return m.shape == shape && m.classes == classes; });
    if (any) entries.push_back({Kind::kMark, shape, std::string(classes), "", std::string(text)});
  };
  measured(Shape::kCircle, "ours", "measured: this file");
  measured(Shape::kSquare, "base", "measured: baseline");
  measured(Shape::kTriangle, "trial", "measured: trial within the limit");
  measured(Shape::kTriangle, "trial hollow", "measured: trial over the limit");
  return Legend(entries);
}

}  // namespace

std::string FrontierHtml(const Report& report) {
  const Data data = Collect(report);
  if (data.curve.size() + data.measured.size() < 2) return "";
  std::string caption = Kept(report);
  const auto say = [&](std::string_view text) { caption += Cat(caption.empty() ? "" : " ", text); };
  if (data.log_loss) say("The loss axis is logarithmic.");
  if (data.cut > 0) say(Cat(std::to_string(data.cut), data.cut == 1 ? " point" : " points", " of the frontier beyond these sizes and losses not drawn; report.json has all."));
  if (data.senseless > 0) say("What lost nearly everything is in the table alone.");
  if (data.dropped > 0) say(Cat(std::to_string(data.dropped), data.dropped == 1 ? " point" : " points", " without loss cannot be drawn on it."));
  const bool any_measured = !report.trials.empty() ||
                            std::any_of(report.headline.begin(), report.headline.end(), [](const Row& r) { return r.quality.has_value(); });
  if (!report.loss_is_kl && any_measured) {
    say("Predicted losses are no KL divergences here, since the loss weights were not measured; measured ones stand in the table above.");
  }
  const std::string chart = Both(kWideWidth, [&](const Layout& layout) { return Draw(report, data, layout); });
  return Section("frontier", "Size against loss", Figure(chart, FrontierLegend(data), caption));
}

}  // namespace nashswarm::report
