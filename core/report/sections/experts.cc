// A mixture of experts: who is used how much, and what that got in bits.
#include <algorithm>

#include "core/report/expert_loads.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"
#include "core/report/svg_chart.h"

namespace nashswarm::report {
namespace {

constexpr size_t kMostColumns = 128, kMostLayers = 128;

HeatMap Map(const ExpertsReport& experts) {
  std::vector<int> layers;
  std::vector<Loads> loads;
  for (const ExpertLayer& layer : experts.layers) {
    layers.push_back(layer.layer);
    loads.push_back(LoadsOf(layer.tokens));
  }
  HeatMap map = LoadMap(layers, loads);
  map.id = "experts";
  map.title = "How much each expert is used, by layer";
  map.tooltip = [&experts, loads](size_t l, size_t e) {
    const ExpertLayer& layer = experts.layers[l];
    return Cat(LoadTooltip(layer.layer, e, layer.tokens[e], loads[l]),
               e < layer.bits.size() ? Cat("\n", Fixed(layer.bits[e], 2), " bits per weight") : std::string());
  };
  return map;
}

std::string LayersHtml(const ExpertsReport& experts) {
  Table table("Experts by layer", {{"layer"}, {"variation of load"}, {"most used"}, {"least used"}, {"unused"}, {"bits, most used"},
                                   {"bits, least used"}});
  for (const ExpertLayer& layer : experts.layers) {
    if (layer.tokens.empty()) continue;
    const Loads loads = LoadsOf(layer.tokens);
    const auto who = [&](size_t e) { return Cat(std::to_string(e), " (", Fixed(loads.relative[e], 2), ")"); };
    const auto bits = [&](size_t e) { return e < layer.bits.size() ? Fixed(layer.bits[e], 2) : NotMeasured(); };
    table.Add({std::to_string(layer.layer), Fixed(loads.variation, 2), who(loads.most), who(loads.least), std::to_string(loads.unused),
               bits(loads.most), bits(loads.least)});
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
    const HeatMap map = Map(experts);
    body += Figure(Both(kWideWidth, [&](const Layout& layout) { return Draw(map, layout); }),
                   BucketLegend(map.buckets, BucketsUsed(map), " of an even share"), "");
  }
  body += LayersHtml(experts);
  if (std::any_of(experts.layers.begin(), experts.layers.end(), [](const ExpertLayer& l) { return !l.order.empty(); })) {
    body += "<p>Experts have their numbers in the checkpoint here. In the artifact those that tokens use together lie together; "
            "its metadata and report.json say in which order.</p>\n";
  }
  return Section("experts", "The experts", body);
}

}  // namespace nashswarm::report
