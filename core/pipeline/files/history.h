// What the earlier tasks of a job took, as its PUBLISH hears it (core/engine/README.md, "history").
#ifndef NASHSWARM_CORE_PIPELINE_FILES_HISTORY_H_
#define NASHSWARM_CORE_PIPELINE_FILES_HISTORY_H_

#include <vector>

#include "core/base/json.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {

// A cost of each stage, of neighbouring tasks. What is absent or of another type counts as nothing.
std::vector<report::StageCost> CostsIn(const Json& history);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_HISTORY_H_
