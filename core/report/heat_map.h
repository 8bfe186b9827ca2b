// A map of cells, coloured by the range that each value lies in.
#ifndef NASHSWARM_CORE_REPORT_HEAT_MAP_H_
#define NASHSWARM_CORE_REPORT_HEAT_MAP_H_

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/report/svg_chart.h"

namespace nashswarm::report {

// A range of values: from where the one before it ends. `classes` is a colour of the style sheet, of which "...t" is
// the colour for text on it.
struct Bucket {
  double below;
  const char* classes;
  const char* name;
};
// The last bucket also holds what lies above it.
const Bucket& BucketOf(std::span<const Bucket> buckets, double value);
// The buckets that are in use; `unit` follows the name of the last, " bits".
std::string BucketLegend(std::span<const Bucket> buckets, const std::set<const Bucket*>& used, std::string_view unit);

struct HeatMap {
  struct Row {
    std::string name;            // plain
    std::vector<double> values;  // NaN: no cell. As many in every row
  };
  std::string_view id;               // as of Svg
  std::string title, description;    // plain
  std::string above;                 // plain; what the columns are
  std::vector<std::string> columns;  // plain; their names, shown where they have room. May be empty
  std::vector<Row> rows;             // at least one, with at least one value
  std::span<const Bucket> buckets;
  bool square = false;  // rows about as high as the columns are wide; else as high as a list of layers allows
  std::function<std::string(size_t row, size_t column)> tooltip;  // plain; may be empty
};

// Up to 512 cells each have their tooltip, and their value where it has room. More are drawn by colour, as few shapes
// as can be: a page with one element for each of 10,000 cells is slow to load.
std::string Draw(const HeatMap& map, const Layout& layout);
std::set<const Bucket*> BucketsUsed(const HeatMap& map);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_HEAT_MAP_H_
