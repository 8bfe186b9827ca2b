// search-<round>.json: what SEARCH hands from round to round, and to ENCODE.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_SEARCH_ROUND_H_
#define NASHSWARM_CORE_PIPELINE_FILES_SEARCH_ROUND_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/game/swarm.h"
#include "core/pipeline/files/plan.h"

namespace nashswarm::pipeline {

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

struct SearchRound {
  static constexpr int kVersion = 1;
  static std::string File(int round);

  Plan plan;                           // kept so far
  SearchState state;
  std::vector<report::SearchStep> trace;  // of all rounds

  // Errors as Plan::Read.
  static absl::StatusOr<SearchRound> Read(const std::string& directory, int round, const Prepared& prepared);
  // Of the latest round in a task's inputs; nothing when there was none.
  static absl::StatusOr<std::optional<SearchRound>> ReadLast(const std::string& directory, const Prepared& prepared);
  absl::Status Write(const std::string& directory, int round) const;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_SEARCH_ROUND_H_
