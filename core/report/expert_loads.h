// How many tokens use each expert of a layer, relative to an even share.
#ifndef NASHSWARM_CORE_REPORT_EXPERT_LOADS_H_
#define NASHSWARM_CORE_REPORT_EXPERT_LOADS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/report/heat_map.h"

namespace nashswarm::report {

struct Loads {
  std::vector<double> relative;  // to an even share; all 0 where no token used any
  double variation = 0;          // standard deviation over mean
  size_t most = 0, least = 0;    // the first expert of those most and least used
  size_t unused = 0;
};
Loads LoadsOf(std::span<const uint64_t> tokens);

// From none over about 1, which is an even share, to many.
std::span<const Bucket> ShareBuckets();

// A map of layers down and experts across, without its id, title and tooltips. `tokens` of layer `layers[i]`, all of
// one length.
HeatMap LoadMap(std::span<const int> layers, const std::vector<Loads>& loads);
// "layer 3, expert 5\n1,234 tokens, 0.87 of an even share"
std::string LoadTooltip(int layer, size_t expert, uint64_t tokens, const Loads& loads);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_EXPERT_LOADS_H_
