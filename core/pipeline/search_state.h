// What SEARCH hands from round to round, and to ENCODE: search-<round>.json.
#ifndef NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_
#define NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/game/swarm.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// How many rounds SEARCH has for this job at most; 0: none.
int SearchRounds(const Spec& spec, const Prepared& prepared);

// Of these the first so many at most are best response in context; the others are the flock's.
int ContextRounds(const Spec& spec, const Prepared& prepared);

// Plans the flock tries in a round; 0 when no flock was asked for.
size_t FlockSize(const Spec& spec);

std::string SearchFile(int round);
// The latest round's file in a task's inputs; nothing when there was no round.
absl::StatusOr<std::optional<Json>> ReadLastSearch(const std::string& in_dir);

// Between two rounds, beside the plan kept so far. KL divergences are those measured on the windows of the search.
struct SearchState {
  enum class Phase { kContext, kSwarm, kDone };
  Phase phase = Phase::kContext;
  int rounds = 0;                      // that were run
  double equilibrium_kl = 0;           // of the game's plan, at its size
  uint64_t equilibrium_bytes = 0;      // of the file
  double context_kl = 0;               // of the plan kept after best response in context
  double kl = 0;                       // of the plan kept
  std::string plan_summary;            // of the plan kept, without what the search did
  double step_factor = 1;              // between the steps the game gives coded tensors and those that meet the budget
  int context_tried = 0, context_kept = 0;

  // The flock; base_weights are empty before its first round.
  std::vector<double> base_weights;    // loss weights by tensor, which the birds' positions are factors on
  game::SwarmState birds;
  std::vector<double> settled;         // the best position when one was last measured at the budget
  int evaluations = 0;
  double seconds = 0;                  // spent on them; kept only where there is a limit
};

Json ToJson(const SearchState& state);
SearchState SearchStateOf(const Json& json);  // of what ToJson made

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SEARCH_STATE_H_
