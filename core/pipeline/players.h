// The players of the game, from the curves of MEASURE: tensors whose strategies are block formats, or steps of nsq streams.
#ifndef NASHSWARM_CORE_PIPELINE_PLAYERS_H_
#define NASHSWARM_CORE_PIPELINE_PLAYERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/game/game.h"
#include "core/pipeline/files/choice.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/stage_inputs.h"

namespace nashswarm::pipeline {

struct Players {
  std::vector<game::Player> players;          // one a tensor, in the order of the artifact
  std::vector<std::vector<Choice>> choices;   // what each strategy is
  // How many tensors, from this one on, play as one, and 0 for those after the first of such a coalition: experts that share a
  // tensor of a GGUF file. Their strategies are the same ones.
  std::vector<size_t> coalition;

  std::vector<Choice> ChoicesOf(const game::Plan& plan) const;
  // game::Solve among the coalitions; the plan has a choice for every tensor.
  absl::StatusOr<game::Plan> Solve(uint64_t budget, uint64_t exact_work = game::kExactWork) const;
  uint64_t SmallestBytes() const { return game::SmallestBytes(Coalitions()); }

 private:
  std::vector<game::Player> Coalitions() const;
};

// From the curves of every shard. Errors: those of Curves::Read. Loss weights: measured ones, else the role's.
absl::StatusOr<Players> ReadPlayers(const StageInputs& in, const std::string& in_dir);

// What each tensor plays, its bytes and distortion as predicted, its loss weight.
std::vector<PlannedTensor> PlanTensors(const Players& players, const game::Plan& plan);
// The game's path of prices, with bytes of the file, which has `header_bytes` beside the players'.
std::vector<PlanStep> PlanPath(const game::Plan& plan, uint64_t header_bytes);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PLAYERS_H_
