// SEARCH: rounds of best response in context, then of the swarm.
#include "core/base/status.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

absl::StatusOr<Json> Search(const Task&) {
  return MakeError(absl::StatusCode::kInternal, "STAGE_UNKNOWN", "there is no search in this plan");
}

}  // namespace nashswarm::pipeline
