#include "core/pipeline/files/history.h"

#include <algorithm>

#include "core/base/json_fields.h"

namespace nashswarm::pipeline {

std::vector<report::StageCost> CostsIn(const Json& history) {
  std::vector<report::StageCost> costs;
  for (const Json& task : history) {
    const std::string stage = JsonString(task, "stage");
    if (costs.empty() || costs.back().stage != stage) costs.push_back({stage, 0, 0, 0});
    const Json& result = JsonMember(task, "result");
    report::StageCost& cost = costs.back();
    ++cost.tasks;
    cost.seconds += JsonDouble(result, "seconds", 0);
    cost.peak_bytes = std::max(cost.peak_bytes, static_cast<uint64_t>(std::max<int64_t>(JsonInt(result, "peak_bytes", 0), 0)));
  }
  return costs;
}

}  // namespace nashswarm::pipeline
