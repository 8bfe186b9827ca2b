// From a quality to a size: the smallest plan whose measured loss is within a limit.
#ifndef NASHSWARM_CORE_PIPELINE_QUALITY_SEARCH_H_
#define NASHSWARM_CORE_PIPELINE_QUALITY_SEARCH_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/game/game.h"
#include "core/pipeline/files/plan.h"

namespace nashswarm::pipeline {

struct QualityOutcome {
  game::Plan plan;            // the smallest that passed
  std::vector<Trial> trials;  // in the order they were run
};

// `frontier` ascends in bytes. `tolerated` is the limit as a loss in nats (for a perplexity target, the increase of the log);
// the frontier's prediction, corrected by what the trials measured, says where to look; then the bracket is narrowed until it
// is within half a percent of the size or the trials are used up. `solve` plans for a file size; `measure` runs a plan.
// INVALID_ARGUMENT / QUALITY_UNREACHABLE when even the largest plan fails.
absl::StatusOr<QualityOutcome> FindSmallestPassing(
    const std::vector<FrontierPoint>& frontier, double tolerated, bool by_perplexity,
    const std::function<absl::StatusOr<game::Plan>(uint64_t bytes)>& solve,
    const std::function<absl::StatusOr<Trial>(const game::Plan&)>& measure);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_QUALITY_SEARCH_H_
