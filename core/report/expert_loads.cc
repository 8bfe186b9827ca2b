#include "core/report/expert_loads.h"

#include <algorithm>
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"

namespace nashswarm::report {

Loads LoadsOf(std::span<const uint64_t> tokens) {
  Loads loads;
  if (tokens.empty()) return loads;
  double sum = 0, squares = 0;
  for (const uint64_t t : tokens) sum += static_cast<double>(t);
  const double count = static_cast<double>(tokens.size()), mean = sum / count;
  for (const uint64_t t : tokens) {
    loads.relative.push_back(mean > 0 ? static_cast<double>(t) / mean : 0);
    squares += (loads.relative.back() - 1) * (loads.relative.back() - 1);
  }
  loads.variation = std::sqrt(squares / count);
  loads.most = static_cast<size_t>(std::max_element(tokens.begin(), tokens.end()) - tokens.begin());
  loads.least = static_cast<size_t>(std::min_element(tokens.begin(), tokens.end()) - tokens.begin());
  loads.unused = static_cast<size_t>(std::count(tokens.begin(), tokens.end(), uint64_t{0}));
  return loads;
}

std::span<const Bucket> ShareBuckets() {
  static constexpr Bucket kBuckets[] = {
      {1e-12, "b1", "none"},       {0.25, "b2", "under 0.25"}, {0.5, "b3", "0.25 to 0.5"}, {0.8, "b4", "0.5 to 0.8"},
      {1.25, "b5", "0.8 to 1.25"}, {2, "b6", "1.25 to 2"},     {4, "b7", "2 to 4"},        {1e300, "b8", "4 and more"}};
  return kBuckets;
}

HeatMap LoadMap(std::span<const int> layers, const std::vector<Loads>& loads) {
  HeatMap map;
  map.description =
      "Darker, or in a dark scheme lighter, is more tokens. The table below has the numbers of every layer.";
  const size_t experts = loads[0].relative.size();
  map.above = experts == 1 ? "expert 0" : Cat("expert 0 to ", std::to_string(experts - 1));
  map.buckets = ShareBuckets();
  for (size_t l = 0; l < loads.size(); ++l) map.rows.push_back({std::to_string(layers[l]), loads[l].relative});
  return map;
}

std::string LoadTooltip(int layer, size_t expert, uint64_t tokens, const Loads& loads) {
  return Cat("layer ", std::to_string(layer), ", expert ", std::to_string(expert), "\n", Grouped(tokens), " tokens, ",
             Fixed(loads.relative[expert], 2), " of an even share");
}

}  // namespace nashswarm::report
