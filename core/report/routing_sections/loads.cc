// Who is used how much, with the model's own router and in the game.
#include <algorithm>
#include <cmath>

#include "core/report/expert_loads.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

// Beyond these a cell is under a pixel wide on a phone, or the map longer than anyone reads.
constexpr size_t kMostColumns = 256, kMostLayers = 128;
constexpr size_t kMostBeside = 64;  // experts of maps that have room side by side

// The layers as one router used them.
struct Side {
  std::string_view id, name;
  std::vector<uint64_t> RoutedLayer::* tokens;
  double RoutedLayer::* hit_rate;
};
constexpr Side kSides[] = {
    {"load-model", "the model’s own router", &RoutedLayer::model_tokens, &RoutedLayer::model_hit_rate},
    {"load-game", "the game", &RoutedLayer::game_tokens, &RoutedLayer::game_hit_rate}};

HeatMap Map(const RoutingReport& report, const Side& side) {
  std::vector<int> layers;
  std::vector<Loads> loads;
  for (const RoutedLayer& layer : report.layers) {
    layers.push_back(layer.layer);
    loads.push_back(LoadsOf(layer.*side.tokens));
  }
  HeatMap map = LoadMap(layers, loads);
  map.id = side.id;
  map.title = Cat("How much each expert is used by layer, ", side.name);
  map.above = Cat(side.name, ": ", map.above);
  map.tooltip = [&report, &side, loads](size_t l, size_t e) {
    const RoutedLayer& layer = report.layers[l];
    return LoadTooltip(layer.layer, e, (layer.*side.tokens)[e], loads[l]);
  };
  return map;
}

std::string MapsHtml(const RoutingReport& report, size_t count) {
  if (count > kMostColumns || report.layers.size() > kMostLayers) {
    return Cat("<p class=\"missing\">The maps are left out: ", Grouped(report.layers.size()), " layers of ",
               Grouped(count), " experts have no room on them. The table has every layer.</p>\n");
  }
  const bool beside = count <= kMostBeside;
  std::set<const Bucket*> used;
  std::string figures;
  for (const Side& side : kSides) {
    const HeatMap map = Map(report, side);
    used.merge(BucketsUsed(map));
    figures +=
        Figure(Both(beside ? kHalfWidth : kWideWidth, [&](const Layout& layout) { return Draw(map, layout); }), "", "");
  }
  return Cat(BucketLegend(ShareBuckets(), used, " of an even share"),
             beside ? "<div class=\"pair\">\n" : "<div class=\"stack\">\n", figures, "</div>\n");
}

std::string LayersTable(const RoutingReport& report) {
  Table table("Load and hit rate by layer", {{"layer"},
                                             {"variation, model"},
                                             {"variation, game"},
                                             {"most used, model"},
                                             {"most used, game"},
                                             {"unused, model"},
                                             {"unused, game"},
                                             {"hit rate, model"},
                                             {"hit rate, game"}});
  for (const RoutedLayer& layer : report.layers) {
    std::vector<std::string> cells(9);
    cells[0] = std::to_string(layer.layer);
    for (size_t s = 0; s < 2; ++s) {
      const Loads loads = LoadsOf(layer.*kSides[s].tokens);
      cells[1 + s] = Fixed(loads.variation, 2);
      cells[3 + s] = Cat(std::to_string(loads.most), " (", Fixed(loads.relative[loads.most], 2), ")");
      cells[5 + s] = std::to_string(loads.unused);
      const double hit_rate = layer.*kSides[s].hit_rate;
      cells[7 + s] = IfMeasured(hit_rate, Percent(hit_rate));
    }
    table.Add(std::move(cells));
  }
  return FoldedIfLong(report.layers.size(), Cat("All ", Grouped(report.layers.size()), " layers"), table.ToHtml());
}

}  // namespace

std::string LoadsHtml(const RoutingReport& report) {
  if (report.layers.empty()) return "";
  const size_t count = report.layers[0].model_tokens.size();
  const bool whole =
      count > 0 && std::all_of(report.layers.begin(), report.layers.end(), [&](const RoutedLayer& layer) {
        return layer.model_tokens.size() == count && layer.game_tokens.size() == count;
      });
  if (!whole) return "";
  return Section("load", "Load of the experts",
                 Cat("<p>How many tokens of the text used each expert, relative to an even share of its layer: layers "
                     "down, experts across. "
                     "Over the whole text, so experts that take turns look even here and are not in a batch.</p>\n",
                     MapsHtml(report, count), LayersTable(report),
                     "<p class=\"fine\">Most used: the expert’s number and its load relative to an even share.</p>\n"));
}

}  // namespace nashswarm::report
