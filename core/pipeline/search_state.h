// What SEARCH hands from round to round, and to ENCODE: search-<round>.json.
#ifndef NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_
#define NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// How many rounds SEARCH has for this job at most; 0: none.
int SearchRounds(const Spec& spec, const Prepared& prepared);

std::string SearchFile(int round);
// The latest round's file in a task's inputs; nothing when there was no round.
absl::StatusOr<std::optional<Json>> ReadLastSearch(const std::string& in_dir);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_
