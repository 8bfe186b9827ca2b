#include "core/pipeline/search_moves.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace nashswarm::pipeline {
namespace {

// Half way, since what moves one weight changes the context of the others; a factor of 4 is a bit a weight.
constexpr double kStep = 0.5, kMostFactor = 4;
// Of its equal share in the divergence, a tensor is taken to do so much harm at least: less is noise of the measurement.
constexpr double kLeastHarm = 0.01;
constexpr int kThirds = 3;

}  // namespace

std::vector<double> MoveTowardHarm(const std::vector<double>& weights, const std::vector<double>& distortions,
                                   const std::vector<double>& harms, double kl, const std::vector<bool>& has_choice) {
  const auto players = std::max<ptrdiff_t>(1, std::count(has_choice.begin(), has_choice.end(), true));
  const double least = kLeastHarm * kl / static_cast<double>(players);
  std::vector<double> moved = weights;
  for (size_t t = 0; t < weights.size(); ++t) {
    const double harm = std::max(harms[t], least);
    if (!has_choice[t] || !(distortions[t] > 0) || !(harm > 0)) continue;
    const double in_context = harm / distortions[t];
    if (!std::isfinite(in_context)) continue;
    const double factor = weights[t] > 0 ? std::pow(in_context / weights[t], kStep) : 0;
    moved[t] = factor > 0 ? weights[t] * std::clamp(factor, 1 / kMostFactor, kMostFactor) : in_context;
  }
  return moved;
}

Coordinates CoordinatesOf(const Prepared& prepared, const model::Model& model, const std::vector<bool>& has_choice) {
  int count = 1;
  for (const model::MappedTensor& tensor : model.tensors) count = std::max(count, tensor.layer + 1);
  Coordinates out;
  std::map<std::pair<std::string, int>, int> known;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    if (!has_choice[t]) {
      out.of_tensor.push_back(-1);
      continue;
    }
    const int layer = model.tensors[prepared.tensors[t].mapped].layer, third = layer < 0 ? -1 : layer * kThirds / count;
    const auto it = known.try_emplace({prepared.tensors[t].role, third}, static_cast<int>(known.size())).first;
    out.of_tensor.push_back(it->second);
  }
  out.count = known.size();
  return out;
}

std::vector<double> WeightsAt(const std::vector<double>& base, const Coordinates& coordinates, const std::vector<double>& position) {
  std::vector<double> weights = base;
  for (size_t t = 0; t < weights.size(); ++t) {
    if (coordinates.of_tensor[t] >= 0) weights[t] *= std::exp2(position[static_cast<size_t>(coordinates.of_tensor[t])]);
  }
  return weights;
}

}  // namespace nashswarm::pipeline
