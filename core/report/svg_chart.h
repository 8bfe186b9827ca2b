// Drawings as inline SVG: marks, axes with ticks, and labels that keep out of each other's way.
//
// Text in an SVG shrinks with the drawing, so every drawing is made twice: wide for screens and paper, narrow for phones.
// The style sheet shows one of them. Colours come from classes, so that they follow the light or dark scheme.
#ifndef NASHSWARM_CORE_REPORT_SVG_CHART_H_
#define NASHSWARM_CORE_REPORT_SVG_CHART_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/report/scale.h"

namespace nashswarm::report {

inline constexpr double kFontSize = 12;
inline constexpr double kWideWidth = 880, kHalfWidth = 430, kThirdWidth = 280, kNarrowWidth = 328;

struct Layout {
  bool narrow = false;
  double width = kWideWidth;
};

// An upper bound of how wide a text comes out, in the fonts that are to be expected.
double TextWidth(std::string_view text, double size = kFontSize);

struct Point {
  double x, y;
};
// Of a grid: cells of one row, side by side.
struct Run {
  size_t row, column, length;
};

enum class Shape { kCircle, kSquare, kDiamond, kTriangle };
enum class Anchor { kStart, kMiddle, kEnd };

class Svg {
 public:
  // `id` is a literal of ours, unique in the page; title and description are plain text for screen readers.
  Svg(std::string_view id, const Layout& layout, double height, std::string_view title, std::string_view description);

  void Line(Point from, Point to, std::string_view classes);
  void Path(const std::vector<Point>& points, std::string_view classes);
  // `tooltip` may be empty; plain text.
  void Rect(double x, double y, double width, double height, std::string_view classes, std::string_view tooltip = {});
  // The cells of a grid that begins at `origin`, all as one shape; the lowest `gap` (a share) of each row is left free.
  void Cells(Point origin, double width, double height, double gap, const std::vector<Run>& runs, std::string_view classes);
  void Mark(Shape shape, Point center, double radius, std::string_view classes, std::string_view tooltip = {});
  // The baseline of the text is at `at`.
  void Text(Point at, Anchor anchor, std::string_view text, std::string_view classes = {});

  bool narrow() const { return narrow_; }
  double width() const { return width_; }
  std::string ToString() const;  // to stand in a page
  // A file of its own, on a background of the class "page". `style`: a sheet for all classes, a literal of ours.
  std::string ToFile(std::string_view style) const;

 private:
  bool narrow_;
  double width_, height_;
  std::string head_, body_;
};

// The wide drawing (of `wide_width`) and the narrow one.
std::string Both(double wide_width, const std::function<std::string(const Layout&)>& draw);

// Where data is drawn inside an SVG.
struct Frame {
  double left, top, right, bottom;
};

// Grid lines, tick labels to their left, and the axis's name above it.
void DrawYAxis(Svg& svg, const Frame& frame, const Scale& scale, const std::vector<Tick>& ticks, std::string_view name);
// Tick labels below the frame (or above it), without those that would touch; the name at the end of the axis.
void DrawXAxis(Svg& svg, const Frame& frame, const Scale& scale, const std::vector<Tick>& ticks, std::string_view name,
               bool above = false);
// Bits per weight below the frame and the size above it; the size alone where the number of weights is unknown (0). `x` maps bytes.
void DrawSizeAxes(Svg& svg, const Frame& frame, const Scale& x, uint64_t parameters);
// Room that tick labels need to the left of the frame.
double YAxisRoom(const std::vector<Tick>& ticks);

// Puts labels beside their marks where they touch neither marks nor other labels nor the frame.
class LabelPlacer {
 public:
  explicit LabelPlacer(const Frame& frame) : frame_(frame) {}
  // Keeps labels off this mark, or off this line.
  void Block(Point center, double radius);
  void BlockPath(const std::vector<Point>& points);
  // Draws the label and a thin leader when it ends up away from its mark. False, and nothing drawn, when there is no room.
  bool Place(Svg& svg, Point mark, std::string_view text, std::string_view classes);

 private:
  struct Area {
    double left, top, right, bottom;
  };
  bool Free(const Area& area) const;

  Frame frame_;
  std::vector<Area> taken_;
};

// One entry of a legend: a mark, a line, or both, and what it stands for.
struct LegendEntry {
  enum class Kind { kMark, kLine, kLineAndMark, kSwatch } kind;
  Shape shape;
  std::string classes;       // of the mark or the swatch
  std::string line_classes;
  std::string text;          // plain
};
std::string Legend(const std::vector<LegendEntry>& entries);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_SVG_CHART_H_
