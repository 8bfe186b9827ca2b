// A mixture of experts: who is used how much, and what that got in bits.
#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

constexpr size_t kMostColumns = 128, kMostLayers = 128;

// Shares of the tokens relative to an even one, from none to many: classes of the map of bits.
struct Bucket {
  double below;
  const char* classes;
  const char* name;
};
constexpr Bucket kBuckets[] = {{1e-12, "b1", "unused"},       {0.25, "b2", "under 0.25"}, {0.5, "b3", "0.25 to 0.5"}, {0.8, "b4", "0.5 to 0.8"},
                               {1.25, "b5", "0.8 to 1.25"}, {2, "b6", "1.25 to 2"},     {4, "b7", "2 to 4"},         {1e300, "b8", "4 and more"}};

const Bucket& BucketOf(double relative) {
  for (const Bucket& bucket : kBuckets) {
    if (relative < bucket.below) return bucket;
  }
  return kBuckets[std::size(kBuckets) - 1];
}

struct Loads {
  std::vector<double> relative;  // to an even share
  double variation = 0;          // standard deviation over mean
};

Loads LoadsOf(const ExpertLayer& layer) {
  Loads loads;
  double sum = 0, squares = 0;
  for (const uint64_t tokens : layer.tokens) sum += static_cast<double>(tokens);
  const double mean = sum / static_cast<double>(std::max<size_t>(1, layer.tokens.size()));
  for (const uint64_t tokens : layer.tokens) {
    loads.relative.push_back(mean > 0 ? static_cast<double>(tokens) / mean : 0);
    squares += (loads.relative.back() - 1) * (loads.relative.back() - 1);
  }
  loads.variation = std::sqrt(squares / static_cast<double>(std::max<size_t>(1, layer.tokens.size())));
  return loads;
}

std::string Map(const ExpertsReport& experts, const Layout& layout) {
  const double left = 34, top = 24, height = std::clamp(620.0 / static_cast<double>(experts.layers.size()), 5.0, 26.0);
  const double width = (layout.width - left) / static_cast<double>(experts.layers[0].tokens.size()), gap = height >= 12 && width >= 8 ? 2 : 0.5;
  Svg svg("experts", layout, top + height * static_cast<double>(experts.layers.size()), "How much each expert is used, by layer",
          "Darker, or in a dark scheme lighter, is more tokens. The table below has the numbers of every layer.");
  svg.Text({left, top - 9}, Anchor::kStart, Cat("expert 0 to ", std::to_string(experts.layers[0].tokens.size() - 1)), "name");
  for (size_t l = 0; l < experts.layers.size(); ++l) {
    const ExpertLayer& layer = experts.layers[l];
    const Loads loads = LoadsOf(layer);
    const double y = top + static_cast<double>(l) * height;
    if (height >= 12 || l % 5 == 0) svg.Text({left - 8, y + height / 2 + 4}, Anchor::kEnd, std::to_string(layer.layer), "tick");
    for (size_t e = 0; e < loads.relative.size(); ++e) {
      const std::string classes = BucketOf(loads.relative[e]).classes, number = Fixed(loads.relative[e], 2);
      const double x = left + static_cast<double>(e) * width;
      svg.Rect(x + gap / 2, y + gap / 2, width - gap, height - gap, classes,
               layout.narrow ? std::string()
                             : Cat("layer ", std::to_string(layer.layer), ", expert ", std::to_string(e), "\n", Grouped(layer.tokens[e]),
                                   " tokens, ", number, " of an even share",
                                   e < layer.bits.size() ? Cat("\n", Fixed(layer.bits[e], 2), " bits per weight") : std::string()));
      if (height >= 14 && TextWidth(number) <= width - 2) {
        svg.Text({x + width / 2, y + height / 2 + 4}, Anchor::kMiddle, number, Cat("in ", classes, "t"));
      }
    }
  }
  return svg.ToString();
}

std::string MapLegend(const ExpertsReport& experts) {
  std::vector<LegendEntry> entries;
  for (const Bucket& bucket : kBuckets) {
    const bool used = std::any_of(experts.layers.begin(), experts.layers.end(), [&](const ExpertLayer& layer) {
      const Loads loads = LoadsOf(layer);
      return std::any_of(loads.relative.begin(), loads.relative.end(), [&](double x) { return &BucketOf(x) == &bucket; });
    });
    if (used) entries.push_back({LegendEntry::Kind::kSwatch, Shape::kSquare, bucket.classes, "", Cat(bucket.name, entries.empty() ? " of an even share" : "")});
  }
  return Legend(entries);
}

std::string LayersHtml(const ExpertsReport& experts) {
  Table table("Experts by layer", {{"layer"}, {"variation of load"}, {"most used"}, {"least used"}, {"unused"}, {"bits, most used"},
                                   {"bits, least used"}});
  for (const ExpertLayer& layer : experts.layers) {
    if (layer.tokens.empty()) continue;
    const Loads loads = LoadsOf(layer);
    const auto most = static_cast<size_t>(std::max_element(layer.tokens.begin(), layer.tokens.end()) - layer.tokens.begin());
    const auto least = static_cast<size_t>(std::min_element(layer.tokens.begin(), layer.tokens.end()) - layer.tokens.begin());
    const auto unused = std::count(layer.tokens.begin(), layer.tokens.end(), uint64_t{0});
    const auto who = [&](size_t e) { return Cat(std::to_string(e), " (", Fixed(loads.relative[e], 2), ")"); };
    const auto bits = [&](size_t e) { return e < layer.bits.size() ? Fixed(layer.bits[e], 2) : NotMeasured(); };
    table.Add({std::to_string(layer.layer), Fixed(loads.variation, 2), who(most), who(least), std::to_string(unused), bits(most), bits(least)});
  }
  return table.ToHtml();
}

}  // namespace

std::string ExpertsHtml(const Report& report) {
  if (!report.experts || report.experts->layers.empty() || report.experts->layers[0].tokens.empty()) return "";
  const ExpertsReport& experts = *report.experts;
  const size_t count = experts.layers[0].tokens.size();
  std::string body = Cat("<p>A token uses ", std::to_string(experts.used), " of ", std::to_string(count),
                         " experts in a layer. This is how many of the calibration text's tokens used each, relative to an even share.</p>\n");
  const bool even = std::all_of(experts.layers.begin(), experts.layers.end(), [&](const ExpertLayer& l) { return l.tokens.size() == count; });
  if (even && count <= kMostColumns && experts.layers.size() <= kMostLayers) {
    body += Figure(Both(kWideWidth, [&](const Layout& layout) { return Map(experts, layout); }), MapLegend(experts), "");
  }
  body += LayersHtml(experts);
  if (std::any_of(experts.layers.begin(), experts.layers.end(), [](const ExpertLayer& l) { return !l.order.empty(); })) {
    body += "<p>Experts have their numbers in the checkpoint here. In the artifact those that tokens use together lie together; "
            "its metadata and report.json say in which order.</p>\n";
  }
  return Section("experts", "The experts", body);
}

}  // namespace nashswarm::report
