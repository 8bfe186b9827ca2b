// Size against loss as a picture in a file of its own, for any viewer of SVG: no scripts, fonts or links to fetch.
#ifndef NASHSWARM_CORE_REPORT_FRONTIER_SVG_H_
#define NASHSWARM_CORE_REPORT_FRONTIER_SVG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/report/report.h"

namespace nashswarm::report {

// A file that was made and run.
struct MeasuredPoint {
  uint64_t bytes = 0;
  double mean_kl = 0, mean_kl_stderr = 0;  // nats a token
};

struct FrontierChart {
  std::string model, format;               // "gpt2", "nsq"
  uint64_t parameters = 0;
  bool loss_is_kl = false;                 // predicted losses are nats a token; only then are measured ones drawn
  std::vector<FrontierPoint> predicted;    // by size, ascending
  std::vector<MeasuredPoint> measured;
};

// The loss axis is logarithmic; points without a loss have no place on it, and the description says how many those are.
std::string ToSvg(const FrontierChart& chart);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_FRONTIER_SVG_H_
