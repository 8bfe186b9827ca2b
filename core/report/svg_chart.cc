#include "core/report/svg_chart.h"

#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/base/utf8.h"

namespace nashswarm::report {
namespace {

std::string Tooltip(std::string_view text) { return text.empty() ? "" : Cat("<title>", Escape(text), "</title>"); }

std::string Points(const std::vector<Point>& points) {
  std::string out;
  for (const Point& p : points) out += Cat(out.empty() ? "" : " ", Coord(p.x), ",", Coord(p.y));
  return out;
}

std::string MarkSvg(Shape shape, Point at, double r, std::string_view classes, std::string_view tooltip) {
  if (shape == Shape::kCircle) {
    return Cat("<circle class=\"", classes, "\" cx=\"", Coord(at.x), "\" cy=\"", Coord(at.y), "\" r=\"", Coord(r), "\">",
               Tooltip(tooltip), "</circle>");
  }
  std::vector<Point> corners;
  if (shape == Shape::kSquare) {
    const double s = 0.9 * r;
    corners = {{at.x - s, at.y - s}, {at.x + s, at.y - s}, {at.x + s, at.y + s}, {at.x - s, at.y + s}};
  } else if (shape == Shape::kDiamond) {
    const double s = 1.3 * r;
    corners = {{at.x, at.y - s}, {at.x + s, at.y}, {at.x, at.y + s}, {at.x - s, at.y}};
  } else {
    const double s = 1.15 * r;
    corners = {{at.x, at.y - s}, {at.x + s, at.y + 0.85 * s}, {at.x - s, at.y + 0.85 * s}};
  }
  return Cat("<polygon class=\"", classes, "\" points=\"", Points(corners), "\">", Tooltip(tooltip), "</polygon>");
}

}  // namespace

double TextWidth(std::string_view text, double size) { return 0.64 * size * static_cast<double>(CodePoints(text)); }

Svg::Svg(std::string_view id, const Layout& layout, double height, std::string_view title, std::string_view description)
    : narrow_(layout.narrow), width_(layout.width), height_(height) {
  const std::string unique = Cat(id, layout.narrow ? "-narrow" : "-wide");
  head_ = Cat("<svg class=\"chart ", layout.narrow ? "narrow" : "wide", "\" role=\"img\" viewBox=\"0 0 ", Coord(width_), " ",
              Coord(height_), "\" aria-labelledby=\"", unique, "-t ", unique, "-d\">\n<title id=\"", unique, "-t\">",
              Escape(title), "</title>\n<desc id=\"", unique, "-d\">", Escape(description), "</desc>\n");
}

void Svg::Line(Point from, Point to, std::string_view classes) {
  body_ += Cat("<line class=\"", classes, "\" x1=\"", Coord(from.x), "\" y1=\"", Coord(from.y), "\" x2=\"", Coord(to.x),
               "\" y2=\"", Coord(to.y), "\"/>\n");
}

void Svg::Path(const std::vector<Point>& points, std::string_view classes) {
  if (points.size() < 2) return;
  body_ += Cat("<polyline class=\"", classes, "\" points=\"", Points(points), "\"/>\n");
}

void Svg::Rect(double x, double y, double width, double height, std::string_view classes, std::string_view tooltip) {
  body_ += Cat("<rect class=\"", classes, "\" x=\"", Coord(x), "\" y=\"", Coord(y), "\" width=\"", Coord(width), "\" height=\"",
               Coord(height), "\">", Tooltip(tooltip), "</rect>\n");
}

void Svg::Cells(Point origin, double width, double height, double gap, const std::vector<Run>& runs, std::string_view classes) {
  // In units of cells, so that most numbers have one or two digits.
  const std::string down = Cat("v", Coord(1 - gap), "h-");
  std::string outline;
  for (const Run& run : runs) {
    const std::string length = std::to_string(run.length);
    outline += Cat("M", std::to_string(run.column), " ", std::to_string(run.row), "h", length, down, length, "z");
  }
  body_ += Cat("<path class=\"", classes, "\" transform=\"translate(", Coord(origin.x), " ", Coord(origin.y), ") scale(", Fixed(width, 4), " ",
               Fixed(height, 4), ")\" d=\"", outline, "\"/>\n");
}

void Svg::Mark(Shape shape, Point center, double radius, std::string_view classes, std::string_view tooltip) {
  body_ += MarkSvg(shape, center, radius, classes, tooltip) + "\n";
}

void Svg::Text(Point at, Anchor anchor, std::string_view text, std::string_view classes) {
  const std::string_view place = anchor == Anchor::kStart ? "" : anchor == Anchor::kMiddle ? "mid" : "end";
  const std::string both = Cat(place, place.empty() || classes.empty() ? "" : " ", classes);
  body_ += Cat("<text", both.empty() ? "" : Cat(" class=\"", both, "\""), " x=\"", Coord(at.x), "\" y=\"", Coord(at.y), "\">",
               Escape(text), "</text>\n");
}

std::string Svg::ToString() const { return Cat(head_, body_, "</svg>\n"); }

std::string Svg::ToFile(std::string_view style) const {
  constexpr std::string_view kOpen = "<svg";
  return Cat(kOpen, " xmlns=\"http://www.w3.org/2000/svg\" width=\"", Coord(width_), "\" height=\"", Coord(height_), "\"",
             head_.substr(kOpen.size()), "<style>", style, "</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n", body_,
             "</svg>\n");
}

std::string Both(double wide_width, const std::function<std::string(const Layout&)>& draw) {
  return draw({.narrow = false, .width = wide_width}) + draw({.narrow = true, .width = kNarrowWidth});
}

double YAxisRoom(const std::vector<Tick>& ticks) {
  double room = 0;
  for (const Tick& tick : ticks) room = std::max(room, TextWidth(tick.label));
  return std::ceil(room) + 8;
}

void DrawYAxis(Svg& svg, const Frame& frame, const Scale& scale, const std::vector<Tick>& ticks, std::string_view name) {
  for (const Tick& tick : ticks) {
    const double y = scale(tick.value);
    svg.Line({frame.left, y}, {frame.right, y}, "grid");
    svg.Text({frame.left - 8, y + 4}, Anchor::kEnd, tick.label, "tick");
  }
  svg.Text({0, frame.top - 12}, Anchor::kStart, name, "name");
}

void DrawXAxis(Svg& svg, const Frame& frame, const Scale& scale, const std::vector<Tick>& ticks, std::string_view name,
               bool above) {
  const double edge = above ? frame.top : frame.bottom;
  const double sign = above ? -1 : 1;
  svg.Line({frame.left, edge}, {frame.right, edge}, "axis");
  double taken = -1e9;
  for (const Tick& tick : ticks) {
    const double half = TextWidth(tick.label) / 2;
    const double x = scale(tick.value);
    svg.Line({x, edge}, {x, edge + sign * 4}, "axis");
    const double at = std::clamp(x, half, std::max(half, svg.width() - half));
    if (at - half < taken + 6) continue;
    svg.Text({at, above ? edge - 8 : edge + 17}, Anchor::kMiddle, tick.label, "tick");
    taken = at + half;
  }
  svg.Text({frame.right, above ? edge - 30 : edge + 35}, Anchor::kEnd, name, "name");
}

void DrawSizeAxes(Svg& svg, const Frame& frame, const Scale& x, uint64_t parameters) {
  const ByteUnit unit = UnitFor(x.high());
  std::vector<Tick> sizes = LinearTicks(x.low() / unit.bytes, x.high() / unit.bytes, svg.narrow() ? 4 : 8);
  for (Tick& tick : sizes) tick.value *= unit.bytes;
  const std::string size_name = Cat("file size, ", unit.name);
  if (parameters == 0) return DrawXAxis(svg, frame, x, sizes, size_name);
  const double bytes_per_bit = static_cast<double>(parameters) / 8;
  std::vector<Tick> bits = LinearTicks(x.low() / bytes_per_bit, x.high() / bytes_per_bit, svg.narrow() ? 5 : 10);
  for (Tick& tick : bits) tick.value *= bytes_per_bit;
  DrawXAxis(svg, frame, x, bits, "bits per weight");
  DrawXAxis(svg, frame, x, sizes, size_name, /*above=*/true);
}

void LabelPlacer::Block(Point center, double radius) {
  taken_.push_back({center.x - radius, center.y - radius, center.x + radius, center.y + radius});
}

void LabelPlacer::BlockPath(const std::vector<Point>& points) {
  for (size_t i = 1; i < points.size(); ++i) {
    const Point a = points[i - 1], b = points[i];
    const int steps = std::max(1, static_cast<int>(std::hypot(b.x - a.x, b.y - a.y) / 4));
    for (int s = 0; s <= std::min(steps, 1000); ++s) {
      const double t = static_cast<double>(s) / steps;
      Block({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)}, 1.5);
    }
  }
}

bool LabelPlacer::Free(const Area& area) const {
  if (area.left < frame_.left || area.right > frame_.right || area.top < frame_.top || area.bottom > frame_.bottom) return false;
  return std::none_of(taken_.begin(), taken_.end(), [&](const Area& other) {
    return area.left < other.right && other.left < area.right && area.top < other.bottom && other.top < area.bottom;
  });
}

bool LabelPlacer::Place(Svg& svg, Point mark, std::string_view text, std::string_view classes) {
  const double width = TextWidth(text), up = 10, down = 3;  // of the text, from its baseline
  // Beside the mark first, then ever further from it.
  for (double distance = 9; distance <= 90; distance += 9) {
    const double near = distance * 0.7;
    const struct {
      double dx, dy;
      Anchor anchor;
    } kPlaces[] = {{distance, 4, Anchor::kStart},       {-distance, 4, Anchor::kEnd},
                   {near, -near + 2, Anchor::kStart},   {near, near + 8, Anchor::kStart},
                   {-near, -near + 2, Anchor::kEnd},    {-near, near + 8, Anchor::kEnd},
                   {0, -distance, Anchor::kMiddle},     {0, distance + 8, Anchor::kMiddle}};
    for (const auto& place : kPlaces) {
      const Point at = {mark.x + place.dx, mark.y + place.dy};
      const double left = place.anchor == Anchor::kStart ? at.x : place.anchor == Anchor::kEnd ? at.x - width : at.x - width / 2;
      const Area box = {left, at.y - up, left + width, at.y + down};
      if (!Free(box)) continue;
      if (distance > 20) {
        const Point end = {std::clamp(mark.x, box.left, box.right), std::clamp(mark.y, box.top + 2, box.bottom)};
        const double length = std::hypot(end.x - mark.x, end.y - mark.y);
        if (length > 14) {
          const double t = 7 / length;
          svg.Line({mark.x + t * (end.x - mark.x), mark.y + t * (end.y - mark.y)}, end, "leader");
        }
      }
      svg.Text(at, place.anchor, text, classes);
      constexpr double kApart = 3;  // from the next label
      taken_.push_back({box.left - kApart, box.top - kApart, box.right + kApart, box.bottom + kApart});
      return true;
    }
  }
  return false;
}

std::string Legend(const std::vector<LegendEntry>& entries) {
  const bool swatches = std::all_of(entries.begin(), entries.end(), [](const LegendEntry& e) { return e.kind == LegendEntry::Kind::kSwatch; });
  std::string out = swatches ? "<ul class=\"legend row\">\n" : "<ul class=\"legend\">\n";
  for (const LegendEntry& entry : entries) {
    std::string key = "<svg class=\"key\" viewBox=\"0 0 24 14\" aria-hidden=\"true\">";
    using Kind = LegendEntry::Kind;
    if (entry.kind == Kind::kSwatch) {
      key += Cat("<rect class=\"", entry.classes, "\" x=\"1\" y=\"1\" width=\"22\" height=\"12\"/>");
    }
    if (entry.kind == Kind::kLine || entry.kind == Kind::kLineAndMark) {
      key += Cat("<line class=\"", entry.line_classes, "\" x1=\"0\" y1=\"7\" x2=\"24\" y2=\"7.01\"/>");
    }
    if (entry.kind == Kind::kMark || entry.kind == Kind::kLineAndMark) {
      key += MarkSvg(entry.shape, {12, 7}, entry.kind == Kind::kMark ? 5 : 2.5, entry.classes, {});
    }
    out += Cat("<li>", key, "</svg>", Escape(entry.text), "</li>\n");
  }
  return out + "</ul>\n";
}

}  // namespace nashswarm::report
