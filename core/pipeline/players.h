// The players of the game, from the curves of MEASURE: tensors whose strategies are block formats, or steps of nsq streams.
#ifndef NASHSWARM_CORE_PIPELINE_PLAYERS_H_
#define NASHSWARM_CORE_PIPELINE_PLAYERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/calibrate/calibration.h"
#include "core/game/game.h"
#include "core/model/architecture.h"
#include "core/pipeline/prepared.h"

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

// Reads curves-<shard>.json of every shard. Loss weights: measured ones, else the role's.
absl::StatusOr<Players> ReadPlayers(const Prepared& prepared, const model::Model& model,
                                    const calibrate::Calibration& calibration, const std::string& in_dir);

// The "tensors" of plan.json: what each plays, its bytes and distortion as predicted, its loss weight.
Json PlanTensors(const Players& players, const game::Plan& plan);

// A measured point of a coded tensor's rate-distortion curve.
struct StepPoint {
  double step = 0;
  uint64_t bytes = 0;
  double distortion = 0;
};
// Strategies a sixteenth of an octave apart, between and at the measured steps (two or more, ascending in step): bytes lie on
// straight lines over the logarithm of the step, the logarithm of the distortion on the lower convex hull over bytes. Noise
// of measurement cannot make a finer step a worse one.
void AddStepStrategies(const std::vector<StepPoint>& curve, game::Player* player, std::vector<Choice>* choices);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PLAYERS_H_
