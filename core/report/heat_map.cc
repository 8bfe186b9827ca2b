#include "core/report/heat_map.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/report/html.h"
#include "core/report/numbers.h"

namespace nashswarm::report {
namespace {

constexpr size_t kMostElements = 512;
constexpr double kLeft = 34, kLineHeight = 13;

class Drawing {
 public:
  Drawing(const HeatMap& map, const Layout& layout) : map_(map), layout_(layout) {
    const double columns = static_cast<double>(map.rows[0].values.size()), rows = static_cast<double>(map.rows.size());
    width_ = (layout.width - kLeft) / columns;
    height_ = map.square ? std::min(width_, 34.0) : std::clamp(620.0 / rows, 5.0, 26.0);
    elements_ = map.rows.size() * map.rows[0].values.size() <= kMostElements;
    double widest = 0;
    for (const std::string& name : map.columns) widest = std::max(widest, TextWidth(name));
    named_ = !map.columns.empty() && widest + 2 <= width_;
    top_ = named_ ? 40 : 24;
  }

  std::string Draw() const {
    Svg svg(map_.id, layout_, top_ + height_ * static_cast<double>(map_.rows.size()), map_.title, map_.description);
    svg.Text({kLeft, 13}, Anchor::kStart, map_.above, "name");
    for (size_t c = 0; named_ && c < map_.columns.size(); ++c) {
      svg.Text({X(c) + width_ / 2, top_ - 7}, Anchor::kMiddle, map_.columns[c], "tick");
    }
    size_t stride = 1;  // of the rows that have room for their names
    for (const size_t next : {2, 5, 10}) stride = static_cast<double>(stride) * height_ < kLineHeight ? next : stride;
    for (size_t r = 0; r < map_.rows.size(); r += stride) {
      const double last = top_ + height_ * static_cast<double>(map_.rows.size()) - 2;
      svg.Text({kLeft - 8, std::min(Y(r) + height_ / 2 + 4, last)}, Anchor::kEnd, map_.rows[r].name, "tick");
    }
    elements_ ? Elements(svg) : Cells(svg);
    return svg.ToString();
  }

 private:
  double X(size_t column) const { return kLeft + static_cast<double>(column) * width_; }
  double Y(size_t row) const { return top_ + static_cast<double>(row) * height_; }
  const Bucket& At(size_t row, size_t column) const { return BucketOf(map_.buckets, map_.rows[row].values[column]); }

  void Elements(Svg& svg) const {
    const double gap = height_ >= 12 && width_ >= 8 ? 2 : 0.5;
    for (size_t r = 0; r < map_.rows.size(); ++r) {
      for (size_t c = 0; c < map_.rows[r].values.size(); ++c) {
        if (std::isnan(map_.rows[r].values[c])) continue;
        const std::string classes = At(r, c).classes, number = Fixed(map_.rows[r].values[c], 2);
        // Nothing hovers on a phone, so the narrow drawing goes without tooltips.
        svg.Rect(X(c) + gap / 2, Y(r) + gap / 2, width_ - gap, height_ - gap, classes,
                 layout_.narrow || !map_.tooltip ? std::string() : map_.tooltip(r, c));
        if (height_ < 14 || TextWidth(number) > width_ - 2) continue;
        svg.Text({X(c) + width_ / 2, Y(r) + height_ / 2 + 4}, Anchor::kMiddle, number, Cat("in ", classes, "t"));
      }
    }
  }

  // Neighbours of one colour in a row become one run, the runs of one colour one shape.
  void Cells(Svg& svg) const {
    std::map<std::string_view, std::vector<Run>> runs;
    for (size_t r = 0; r < map_.rows.size(); ++r) {
      const std::vector<double>& values = map_.rows[r].values;
      for (size_t c = 0, end = 0; c < values.size(); c = end) {
        end = c + 1;
        if (std::isnan(values[c])) continue;
        const Bucket& bucket = At(r, c);
        while (end < values.size() && !std::isnan(values[end]) && &At(r, end) == &bucket) ++end;
        runs[bucket.classes].push_back({r, c, end - c});
      }
    }
    const double gap = height_ >= 8 ? 0.1 : 0;
    for (const auto& [classes, list] : runs) {
      svg.Cells({kLeft, top_}, width_, height_, gap, list, Cat("cells ", classes));
    }
  }

  const HeatMap& map_;
  const Layout& layout_;
  double width_, height_, top_;
  bool elements_, named_;
};

}  // namespace

const Bucket& BucketOf(std::span<const Bucket> buckets, double value) {
  for (const Bucket& bucket : buckets) {
    if (value < bucket.below) return bucket;
  }
  return buckets.back();
}

std::string BucketLegend(std::span<const Bucket> buckets, const std::set<const Bucket*>& used, std::string_view unit) {
  std::vector<LegendEntry> entries;
  for (const Bucket& bucket : buckets) {
    if (used.contains(&bucket)) {
      entries.push_back({LegendEntry::Kind::kSwatch, Shape::kSquare, bucket.classes, "", bucket.name});
    }
  }
  if (!entries.empty()) entries.back().text += unit;
  return Legend(entries);
}

std::string Draw(const HeatMap& map, const Layout& layout) { return Drawing(map, layout).Draw(); }

std::set<const Bucket*> BucketsUsed(const HeatMap& map) {
  std::set<const Bucket*> used;
  for (const HeatMap::Row& row : map.rows) {
    for (const double value : row.values) {
      if (!std::isnan(value)) used.insert(&BucketOf(map.buckets, value));
    }
  }
  return used;
}

}  // namespace nashswarm::report
