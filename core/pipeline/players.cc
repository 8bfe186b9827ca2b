#include "core/pipeline/players.h"

#include <map>
#include <string>

#include "core/base/status.h"
#include "core/game/loss_weights.h"
#include "core/pipeline/files/curves.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

// Measured loss weights where calibration has them, else the role's.
std::vector<double> LossWeights(const StageInputs& in) {
  std::map<std::string, const calibrate::LossWeight*> measured;
  for (const calibrate::LossWeight& weight : in.calibrated.calibration.loss_weights) measured[weight.tensor] = &weight;
  std::vector<double> weights;
  for (size_t t = 0; t < in.prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = in.prepared.tensors[t];
    if (measured.empty()) {
      weights.push_back(game::DefaultLossWeight(in.source(t), in.tied_head));
      continue;
    }
    const auto it = measured.find(tensor.name);
    weights.push_back(it == measured.end() ? 0 : in.kind->LossWeight(tensor, *it->second));
  }
  return weights;
}

}  // namespace

std::vector<Choice> Players::ChoicesOf(const game::Plan& plan) const {
  std::vector<Choice> chosen;
  for (size_t t = 0; t < choices.size(); ++t) chosen.push_back(choices[t][static_cast<size_t>(plan.choice[t])]);
  return chosen;
}

std::vector<game::Player> Players::Coalitions() const {
  std::vector<game::Player> together;
  for (size_t first = 0; first < players.size(); ++first) {
    if (coalition[first] == 0) continue;
    game::Player player = players[first];
    if (coalition[first] > 1) {
      player.loss_weight = 1;
      for (size_t s = 0; s < player.strategies.size(); ++s) {
        player.strategies[s] = {};
        for (size_t t = first; t < first + coalition[first]; ++t) {
          player.strategies[s].bytes += players[t].strategies[s].bytes;
          player.strategies[s].distortion += players[t].loss_weight * players[t].strategies[s].distortion;
        }
      }
    }
    together.push_back(std::move(player));
  }
  return together;
}

absl::StatusOr<game::Plan> Players::Solve(uint64_t budget, uint64_t exact_work) const {
  NS_ASSIGN_OR_RETURN(game::Plan plan, game::Solve(Coalitions(), budget, exact_work));
  std::vector<int> by_tensor;
  size_t next = 0;
  for (const size_t members : coalition) {
    if (members > 0) by_tensor.insert(by_tensor.end(), members, plan.choice[next++]);
  }
  plan.choice = std::move(by_tensor);
  return plan;
}

std::vector<PlannedTensor> PlanTensors(const Players& players, const game::Plan& plan) {
  std::vector<PlannedTensor> tensors;
  for (size_t t = 0; t < players.players.size(); ++t) {
    const auto s = static_cast<size_t>(plan.choice[t]);
    const game::Strategy& chosen = players.players[t].strategies[s];
    tensors.push_back({players.choices[t][s], chosen.bytes, chosen.distortion, players.players[t].loss_weight});
  }
  return tensors;
}

std::vector<PlanStep> PlanPath(const game::Plan& plan, uint64_t header_bytes) {
  std::vector<PlanStep> path;
  for (const game::PriceStep& step : plan.path) path.push_back({step.bytes + header_bytes, step.loss, step.price});
  return path;
}

absl::StatusOr<Players> ReadPlayers(const StageInputs& in, const std::string& in_dir) {
  Players out;
  out.players.resize(in.prepared.tensors.size());
  out.choices.resize(in.prepared.tensors.size());
  for (const PreparedTensor& tensor : in.prepared.tensors) out.coalition.push_back(tensor.place > 0 ? 0 : tensor.stack_size);
  const std::vector<double> loss_weights = LossWeights(in);
  for (int shard = 0; shard < static_cast<int>(in.prepared.shards.size()); ++shard) {
    NS_ASSIGN_OR_RETURN(const Curves curves, Curves::Read(in_dir, shard, in.prepared));
    for (const TensorCurve& curve : curves.tensors) {
      const size_t t = curve.tensor;
      game::Player& player = out.players[t];
      player.name = in.prepared.tensors[t].source;
      player.loss_weight = loss_weights[t];
      in.kind->AddStrategies(in.prepared.tensors[t], curve, &player, &out.choices[t]);
    }
  }
  return out;
}

}  // namespace nashswarm::pipeline
