// Which experts are used together by one token.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/report/expert_loads.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

constexpr std::string_view kIds[] = {"pairs-0", "pairs-1", "pairs-2", "pairs-3", "pairs-4", "pairs-5"};
constexpr size_t kMostLayers = std::size(kIds), kMostExperts = 64;
// Of a pair that is expected fewer times than this, what was counted says little.
constexpr double kLeastExpected = 1;

bool HasPairs(const RoutedLayer& layer) {
  const size_t count = layer.model_tokens.size(), cells = count * count;
  const auto any = [](const std::vector<uint64_t>& together) {
    return std::any_of(together.begin(), together.end(), [](uint64_t n) { return n > 0; });
  };
  return count > 1 && layer.game_tokens.size() == count && layer.model_together.size() == cells &&
         layer.game_together.size() == cells && (any(layer.model_together) || any(layer.game_together));
}

// How often pairs were used, and how often they would be by their loads alone: the product of both experts' tokens,
// scaled so that all pairs of the layer sum to what was counted.
class Pairs {
 public:
  Pairs(const std::vector<uint64_t>& tokens, const std::vector<uint64_t>& together)
      : tokens_(tokens), together_(together) {
    double products = 0;
    for (size_t a = 0; a < tokens.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        total_ += static_cast<double>(Count(a, b));
        products += Product(a, b);
      }
    }
    scale_ = products > 0 ? total_ / products : 0;
  }

  uint64_t Count(size_t a, size_t b) const { return together_[a * tokens_.size() + b]; }
  double Share(size_t a, size_t b) const { return total_ > 0 ? static_cast<double>(Count(a, b)) / total_ : 0; }
  double Expected(size_t a, size_t b) const { return scale_ * Product(a, b); }
  // 1: as often as by the loads alone. NaN: not enough tokens to tell.
  double Relative(size_t a, size_t b) const {
    const double expected = Expected(a, b);
    return expected < kLeastExpected ? std::numeric_limits<double>::quiet_NaN()
                                     : static_cast<double>(Count(a, b)) / expected;
  }

 private:
  double Product(size_t a, size_t b) const { return static_cast<double>(tokens_[a]) * static_cast<double>(tokens_[b]); }

  const std::vector<uint64_t>& tokens_;
  const std::vector<uint64_t>& together_;
  double total_ = 0, scale_ = 0;
};

// Share of the pairs that are other ones in the game.
double Change(const RoutedLayer& layer) {
  const Pairs model(layer.model_tokens, layer.model_together), game(layer.game_tokens, layer.game_together);
  double difference = 0;
  for (size_t a = 0; a < layer.model_tokens.size(); ++a) {
    for (size_t b = 0; b < a; ++b) difference += std::abs(model.Share(a, b) - game.Share(a, b));
  }
  return difference / 2;
}

// The layers whose pairs changed most, in the order of the model.
std::vector<const RoutedLayer*> Telling(const std::vector<const RoutedLayer*>& layers) {
  std::vector<std::pair<double, size_t>> changes;
  for (size_t i = 0; i < layers.size(); ++i) changes.emplace_back(-Change(*layers[i]), i);
  std::sort(changes.begin(), changes.end());
  changes.resize(std::min(changes.size(), kMostLayers));
  std::sort(changes.begin(), changes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::vector<const RoutedLayer*> telling;
  for (const auto& [change, i] : changes) telling.push_back(layers[i]);
  return telling;
}

// The experts that have room on the map: those most used, by their number.
std::vector<size_t> Shown(const RoutedLayer& layer) {
  std::vector<size_t> experts(layer.model_tokens.size());
  std::iota(experts.begin(), experts.end(), size_t{0});
  if (experts.size() <= kMostExperts) return experts;
  std::stable_sort(experts.begin(), experts.end(), [&](size_t a, size_t b) {
    return layer.model_tokens[a] + layer.game_tokens[a] > layer.model_tokens[b] + layer.game_tokens[b];
  });
  experts.resize(kMostExperts);
  std::sort(experts.begin(), experts.end());
  return experts;
}

// The model's own router below the diagonal, the game above it: pairs have no order, so half a square holds them all.
HeatMap Map(const RoutedLayer& layer, std::string_view id) {
  const Pairs model(layer.model_tokens, layer.model_together), game(layer.game_tokens, layer.game_together);
  const std::vector<size_t> experts = Shown(layer);
  HeatMap map;
  map.id = id;
  map.title = Cat("Experts of layer ", std::to_string(layer.layer), " that a token uses together");
  map.description = Cat("Below the diagonal the model’s own router, above it the game. ", Percent(Change(layer), 0),
                        " of the pairs are others in the game.");
  map.above = Cat("layer ", std::to_string(layer.layer), ": ", Percent(Change(layer), 0), " of the pairs changed");
  map.buckets = ShareBuckets();
  map.square = true;
  for (size_t r = 0; r < experts.size(); ++r) {
    map.columns.push_back(std::to_string(experts[r]));
    map.rows.push_back({std::to_string(experts[r]), {}});
    for (size_t c = 0; c < experts.size(); ++c) {
      map.rows[r].values.push_back(c == r ? std::numeric_limits<double>::quiet_NaN()
                                          : (c < r ? model : game).Relative(experts[r], experts[c]));
    }
  }
  map.tooltip = [model, game, experts](size_t r, size_t c) {
    const Pairs& pairs = c < r ? model : game;
    return Cat(c < r ? "the model’s own router" : "the game", ", experts ", std::to_string(experts[std::min(r, c)]),
               " and ", std::to_string(experts[std::max(r, c)]), "\n", Grouped(pairs.Count(experts[r], experts[c])),
               " tokens, ", Fixed(pairs.Relative(experts[r], experts[c]), 2), " of what their loads explain");
  };
  return map;
}

std::string LeftOut(size_t layers, size_t shown, size_t experts) {
  std::string out;
  if (layers > shown) {
    out = Cat("Shown are the ", std::to_string(shown), " layers whose pairs changed most; ", Grouped(layers - shown),
              " others are left out.");
  }
  if (experts > kMostExperts) {
    out += Cat(out.empty() ? "" : " ", "Of each layer the ", std::to_string(kMostExperts), " most used experts; ",
               Grouped(experts - kMostExperts), " others are left out.");
  }
  return out.empty() ? "" : Cat("<p class=\"fine\">", out, "</p>\n");
}

}  // namespace

std::string PairsHtml(const RoutingReport& report) {
  std::vector<const RoutedLayer*> layers;
  size_t most = 0;
  for (const RoutedLayer& layer : report.layers) {
    if (!HasPairs(layer)) continue;
    layers.push_back(&layer);
    most = std::max(most, layer.model_tokens.size());
  }
  if (layers.empty()) return "";
  const std::vector<const RoutedLayer*> telling = Telling(layers);
  std::set<const Bucket*> used;
  std::string figures;
  for (size_t i = 0; i < telling.size(); ++i) {
    const HeatMap map = Map(*telling[i], kIds[i]);
    used.merge(BucketsUsed(map));
    figures += Figure(Both(kHalfWidth, [&](const Layout& layout) { return Draw(map, layout); }), "", "");
  }
  const std::string lead =
      "<p>How often one token uses two experts, relative to what their loads alone explain: at 1 they meet as often as "
      "experts that "
      "know nothing of each other. Below the diagonal the model’s own router, above it the game; a pair that would "
      "meet less than once "
      "is left blank.</p>\n";
  return Section("pairs", "Experts used together",
                 Cat(lead, BucketLegend(ShareBuckets(), used, " of what the loads explain"), "<div class=\"pair\">\n",
                     figures, "</div>\n", LeftOut(layers.size(), telling.size(), most)));
}

}  // namespace nashswarm::report
