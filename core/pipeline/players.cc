#include "core/pipeline/players.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/game/loss_weights.h"
#include "core/game/pareto.h"
#include "core/pipeline/objectives.h"

namespace nashswarm::pipeline {
namespace {

constexpr int kStepsPerOctave = 16;
constexpr double kLeastDistortion = 1e-12;  // the logarithm of a tensor that comes back exactly

// Measured loss weights where calibration has them, else the role's.
std::vector<double> LossWeights(const Prepared& prepared, const model::Model& model, const calibrate::Calibration& calibration) {
  std::map<std::string, const calibrate::LossWeight*> measured;
  for (const calibrate::LossWeight& weight : calibration.loss_weights) measured[weight.tensor] = &weight;
  std::map<std::string, double> defaults;
  for (const model::MappedTensor& tensor : model.tensors) defaults[tensor.name] = game::DefaultLossWeight(tensor, HasTiedHead(model));
  std::vector<double> weights;
  for (const PreparedTensor& tensor : prepared.tensors) {
    if (measured.empty()) {
      weights.push_back(defaults.at(tensor.name));
      continue;
    }
    const auto it = measured.find(tensor.name);
    weights.push_back(it == measured.end() ? 0 : tensor.is_coded() ? it->second->matrix_weight() : it->second->weight());
  }
  return weights;
}

void AddFormats(const Json& curve, bool gguf, const PreparedTensor& tensor, game::Player* player, std::vector<Choice>* choices) {
  for (const Json& point : curve) {
    const quant::Format format = *quant::FormatByName(point.at("format").get<std::string>());
    // A GGUF file aligns every tensor, and the alignment is part of its price.
    player->strategies.push_back({gguf ? tensor.AlignedBytes(format) : point.at("bytes").get<uint64_t>(), point.at("distortion")});
    choices->push_back({format, 0});
  }
}

std::vector<StepPoint> StepPoints(const Json& curve) {
  std::vector<StepPoint> points;
  for (const Json& point : curve) points.push_back({point.at("step"), point.at("bytes"), point.at("distortion")});
  return points;
}

}  // namespace

void AddStepStrategies(const std::vector<StepPoint>& curve, game::Player* player, std::vector<Choice>* choices) {
  std::vector<game::Point> samples;
  for (const StepPoint& point : curve) {
    samples.push_back({static_cast<double>(point.bytes), std::max(point.distortion, kLeastDistortion)});
  }
  const auto fitted = game::RateDistortionCurve::Fit(samples);
  if (!fitted.ok()) return;  // only for non-finite numbers, which MEASURE does not write
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    const double from = std::log2(curve[i].step), to = std::log2(curve[i + 1].step);
    const int count = std::max(1, static_cast<int>(std::lrint((to - from) * kStepsPerOctave)));
    const bool last = i + 2 == curve.size();
    for (int k = 0; k < count + (last ? 1 : 0); ++k) {
      const double share = static_cast<double>(k) / count;
      const double bytes = (1 - share) * static_cast<double>(curve[i].bytes) + share * static_cast<double>(curve[i + 1].bytes);
      const auto distortion = fitted->DistortionAt(bytes);
      if (!distortion.ok()) continue;
      player->strategies.push_back({static_cast<uint64_t>(std::ceil(bytes)), distortion->value});
      choices->push_back({quant::Format::kF32, std::exp2(from + share * (to - from))});
    }
  }
}

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

Json PlanTensors(const Players& players, const game::Plan& plan) {
  Json tensors = Json::array();
  for (size_t t = 0; t < players.players.size(); ++t) {
    const auto s = static_cast<size_t>(plan.choice[t]);
    const game::Strategy& chosen = players.players[t].strategies[s];
    tensors.push_back({{"format", players.choices[t][s].name()},
                       {"step", players.choices[t][s].step},
                       {"bytes", chosen.bytes},
                       {"distortion", chosen.distortion},
                       {"loss_weight", players.players[t].loss_weight}});
  }
  return tensors;
}

absl::StatusOr<Players> ReadPlayers(const Prepared& prepared, const model::Model& model,
                                    const calibrate::Calibration& calibration, const std::string& in_dir) {
  Players out;
  out.players.resize(prepared.tensors.size());
  out.choices.resize(prepared.tensors.size());
  for (const PreparedTensor& tensor : prepared.tensors) out.coalition.push_back(tensor.place > 0 ? 0 : tensor.stack_size);
  const std::vector<double> loss_weights = LossWeights(prepared, model, calibration);
  for (size_t shard = 0; shard < prepared.shards.size(); ++shard) {
    const std::string file = absl::StrCat("curves-", shard, ".json");
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    for (const Json& entry : json.at("tensors")) {
      const size_t t = entry.at("tensor");
      game::Player& player = out.players.at(t);
      player.name = prepared.tensors[t].source;
      player.loss_weight = loss_weights.at(t);
      if (prepared.tensors[t].is_coded()) {
        AddStepStrategies(StepPoints(entry.at("curve")), &player, &out.choices[t]);
      } else {
        AddFormats(entry.at("curve"), prepared.format == "gguf", prepared.tensors[t], &player, &out.choices[t]);
      }
    }
  }
  return out;
}

}  // namespace nashswarm::pipeline
