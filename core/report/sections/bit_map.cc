// Where the bits went: layers down, roles across.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/report/heat_map.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"
#include "core/base/utf8.h"

namespace nashswarm::report {
namespace {

constexpr size_t kMaxLayers = 4096, kMaxRoles = 16, kMaxOutside = 12;
// So many rows have room for their numbers; of more layers, neighbours share a row.
constexpr size_t kMostRows = 32;
constexpr std::string_view kOneFormat = "nsq";  // of every matrix in such a file: it says nothing
constexpr size_t kNameRoom = 9;  // characters of a row's name

// In the order data flows through a layer; others follow as they come.
struct RoleName {
  std::string_view role, wide, narrow;
};
constexpr RoleName kRoles[] = {
    {"query", "query", "Q"},           {"key", "key", "K"},           {"value", "value", "V"},
    {"query_key_value", "query, key, value", "QKV"},                  {"attention_output", "attn output", "out"},
    {"ffn_gate", "FFN gate", "gate"},  {"ffn_up", "FFN up", "up"},    {"ffn_down", "FFN down", "down"}};

constexpr Bucket kBuckets[] = {{2, "b1", "under 2"},  {3, "b2", "2 to 3"}, {4, "b3", "3 to 4"},  {5, "b4", "4 to 5"},
                               {6, "b5", "5 to 6"},   {8, "b6", "6 to 8"}, {12, "b7", "8 to 12"}, {1e300, "b8", "12 and more"}};

// One or, in models with experts, several tensors.
struct Cell {
  std::vector<const TensorRow*> tensors;

  double bits() const {
    double bits = 0, weights = 0;
    for (const TensorRow* t : tensors) {
      bits += t->bits_per_weight * static_cast<double>(t->weights);
      weights += static_cast<double>(t->weights);
    }
    return weights > 0 ? bits / weights : tensors[0]->bits_per_weight;
  }
  bool is_mixed() const {
    return std::any_of(tensors.begin(), tensors.end(), [this](const TensorRow* t) { return t->format != tensors[0]->format; });
  }
  std::string format() const { return is_mixed() ? "mixed" : tensors[0]->format; }
  std::string tooltip() const {
    double worst = 0;
    for (const TensorRow* t : tensors) worst = std::max(worst, t->relative_error);
    if (tensors.size() > 1) {
      const auto [least, most] = std::minmax_element(tensors.begin(), tensors.end(), [](const TensorRow* a, const TensorRow* b) {
        return a->bits_per_weight < b->bits_per_weight;
      });
      const bool differ = (*least)->bits_per_weight != (*most)->bits_per_weight;
      const std::string range = differ ? Cat(", ", Fixed((*least)->bits_per_weight, 2), " to ", Fixed((*most)->bits_per_weight, 2)) : "";
      return Cat(std::to_string(tensors.size()), " tensors\n", format(), ", ", Fixed(bits(), 2), " bits per weight", range,
                 "\nlargest relative error ", Significant(worst));
    }
    return Cat(tensors[0]->name, "\n", format(), ", ", Fixed(bits(), 2), " bits per weight\n",
               "relative error ", Significant(worst));
  }
};

// Neighbouring layers that share a row; mostly one.
struct Band {
  int first = 0, last = 0;
  std::map<std::string, Cell> cells;  // by role
  std::string name() const {
    return first == last ? std::to_string(first) : Cat(std::to_string(first), "–", std::to_string(last));
  }
};

struct Grid {
  std::vector<std::string> roles;
  size_t layers = 0;
  std::vector<Band> bands;
  std::vector<Cell> before, after;  // outside the layers, by their place in the file
  size_t outside_left_out = 0;
};

std::vector<Band> InBands(std::map<int, std::map<std::string, Cell>>& layers) {
  const size_t together = (layers.size() + kMostRows - 1) / kMostRows;
  std::vector<Band> bands;
  size_t index = 0;
  for (auto& [layer, cells] : layers) {
    if (index++ % together == 0) bands.push_back({layer, layer, {}});
    bands.back().last = layer;
    for (auto& [role, cell] : cells) {
      std::vector<const TensorRow*>& all = bands.back().cells[role].tensors;
      all.insert(all.end(), cell.tensors.begin(), cell.tensors.end());
    }
  }
  return bands;
}

Grid Collect(const Report& report) {
  Grid grid;
  std::map<int, std::map<std::string, Cell>> layers;
  std::vector<std::string> unknown;
  std::set<std::string> seen;
  for (const TensorRow& t : report.tensors) {
    if (t.vector || !std::isfinite(t.bits_per_weight)) continue;
    if (t.layer < 0) {
      if (grid.before.size() + grid.after.size() >= kMaxOutside) ++grid.outside_left_out;
      else (t.role == "output" ? grid.after : grid.before).push_back({{&t}});
      continue;
    }
    layers[t.layer][t.role].tensors.push_back(&t);
    if (!seen.insert(t.role).second) continue;
    if (std::none_of(std::begin(kRoles), std::end(kRoles), [&](const RoleName& r) { return r.role == t.role; })) unknown.push_back(t.role);
  }
  for (const RoleName& role : kRoles) {
    if (seen.contains(std::string(role.role))) grid.roles.emplace_back(role.role);
  }
  grid.roles.insert(grid.roles.end(), unknown.begin(), unknown.end());
  grid.layers = layers.size();
  grid.bands = InBands(layers);
  return grid;
}

std::string Spaced(std::string text) {
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string RoleLabel(const std::string& role, bool narrow) {
  for (const RoleName& known : kRoles) {
    if (known.role == role) return std::string(narrow ? known.narrow : known.wide);
  }
  return Spaced(PrintableUtf8(role));
}

class MapDrawing {
 public:
  MapDrawing(const Grid& grid, const Layout& layout) : grid_(grid), layout_(layout) {
    const size_t rows = std::max<size_t>(1, grid.bands.size());
    row_height_ = std::clamp(620.0 / static_cast<double>(rows), 19.0, 26.0);
    double names = 26;
    for (const Band& band : grid.bands) names = std::max(names, TextWidth(Shortened(band.name(), kNameRoom)));
    frame_.left = std::max(layout.narrow ? 34.0 : 70.0, std::ceil(names) + 8);
    frame_.right = layout.width;
    cell_width_ = (frame_.right - frame_.left) / static_cast<double>(std::max<size_t>(1, grid.roles.size()));
    gap_ = row_height_ >= 12 ? 2 : 1;
  }

  std::string Draw(std::string_view description) {
    const double layers_top = grid_.before.size() * kOutside + (grid_.before.empty() ? 0 : 8) + (grid_.bands.empty() ? 0 : 24);
    const double layers_bottom = layers_top + grid_.bands.size() * row_height_;
    const double after_top = layers_bottom + (grid_.after.empty() ? 0 : 8);
    Svg svg("bits", layout_, after_top + grid_.after.size() * kOutside, "Bits per weight by layer and role", description);
    for (size_t i = 0; i < grid_.before.size(); ++i) Outside(svg, grid_.before[i], i * kOutside);
    if (!grid_.bands.empty()) Headings(svg, layers_top - 7);
    double y = layers_top;
    for (const Band& band : grid_.bands) {
      svg.Text({frame_.left - 8, y + row_height_ / 2 + 4}, Anchor::kEnd, Shortened(band.name(), kNameRoom), "tick");
      for (size_t c = 0; c < grid_.roles.size(); ++c) {
        const auto it = band.cells.find(grid_.roles[c]);
        if (it != band.cells.end()) Fill(svg, it->second, frame_.left + c * cell_width_, y, cell_width_, row_height_);
      }
      y += row_height_;
    }
    for (size_t i = 0; i < grid_.after.size(); ++i) Outside(svg, grid_.after[i], after_top + i * kOutside);
    return svg.ToString();
  }

 private:
  static constexpr double kOutside = 28;

  void Headings(Svg& svg, double y) {
    if (!layout_.narrow) svg.Text({frame_.left - 8, y}, Anchor::kEnd, "layer", "name");
    for (size_t c = 0; c < grid_.roles.size(); ++c) {
      const size_t room = std::max<size_t>(2, static_cast<size_t>(cell_width_ / TextWidth("x")));
      std::string label = RoleLabel(grid_.roles[c], layout_.narrow);
      if (CodePoints(label) > room) label = Shortened(RoleLabel(grid_.roles[c], /*narrow=*/true), room - 1);
      svg.Text({frame_.left + (c + 0.5) * cell_width_, y}, Anchor::kMiddle, label, "name");
    }
  }

  // A tensor outside the layers has a row to itself: its name, then its cell across the map.
  void Outside(Svg& svg, const Cell& cell, double y) {
    const std::string role = Spaced(PrintableUtf8(cell.tensors[0]->role));
    Fill(svg, cell, frame_.left, y, frame_.right - frame_.left, 26, role);
  }

  void Fill(Svg& svg, const Cell& cell, double x, double y, double width, double height, const std::string& prefix = {}) {
    const double bits = cell.bits();
    const std::string classes = BucketOf(kBuckets, bits).classes;
    // Nothing hovers on a phone, so the narrow drawing goes without tooltips.
    svg.Rect(x + gap_ / 2, y + gap_ / 2, width - gap_, height - gap_, classes, layout_.narrow ? std::string() : cell.tooltip());
    if (height < 14) return;
    const std::string number = Fixed(bits, bits >= 9.995 ? 1 : 2);
    const bool plain = cell.format() == kOneFormat || cell.is_mixed();
    const std::string format = plain ? "" : PrintableUtf8(cell.format()) + " ";
    for (const std::string& text : {Cat(prefix, prefix.empty() ? "" : ": ", format, number), Cat(format, number), number, Fixed(bits, 1)}) {
      if (TextWidth(text) > width - 2) continue;
      svg.Text({x + width / 2, y + height / 2 + 4}, Anchor::kMiddle, text, Cat("in ", classes, "t"));
      return;
    }
  }

  const Grid& grid_;
  const Layout& layout_;
  Frame frame_{};
  double row_height_, cell_width_, gap_;
};

std::set<const Bucket*> BucketsUsed(const Grid& grid) {
  std::set<const Bucket*> used;
  const auto use = [&](const Cell& cell) { used.insert(&BucketOf(kBuckets, cell.bits())); };
  for (const Band& band : grid.bands) {
    for (const auto& [role, cell] : band.cells) use(cell);
  }
  for (const Cell& cell : grid.before) use(cell);
  for (const Cell& cell : grid.after) use(cell);
  return used;
}

}  // namespace

std::string BitMapHtml(const Report& report) {
  const Grid grid = Collect(report);
  const size_t vectors = std::count_if(report.tensors.begin(), report.tensors.end(), [](const TensorRow& t) { return t.vector; });
  if (grid.bands.empty() && grid.before.empty() && grid.after.empty()) return "";
  std::string body;
  if (grid.layers > kMaxLayers || grid.roles.size() > kMaxRoles) {
    body = Cat("<p class=\"missing\">The map is left out: ", Grouped(grid.layers), " layers with ", Grouped(grid.roles.size()),
               " roles have no room on it. The table of tensors below has every one.</p>\n");
  } else {
    std::string caption;
    if (vectors > 0) caption = Cat(Grouped(vectors), vectors == 1 ? " vector (a norm or a bias) is" : " vectors (norms and biases) are",
                                   " kept in 16 or 32 bits and not shown.");
    if (grid.bands.size() < grid.layers) caption = Cat("Neighbouring layers share a row, which shows the mean of their bits. ", caption);
    if (grid.outside_left_out > 0) caption += Cat(" ", Grouped(grid.outside_left_out), " more tensors outside the layers are in the table of tensors.");
    const std::string description =
        Cat(Grouped(grid.layers), " layers, ", Grouped(grid.roles.size()), " roles. Darker, or in a dark scheme lighter, is more bits. ",
            "The table of tensors has every number.");
    const std::string drawing = Both(kWideWidth, [&](const Layout& layout) { return MapDrawing(grid, layout).Draw(description); });
    body = Figure(drawing, BucketLegend(kBuckets, BucketsUsed(grid), " bits"), caption);
  }
  return Section("bits", "Where the bits went", body);
}

}  // namespace nashswarm::report
