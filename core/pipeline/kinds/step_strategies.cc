#include "core/pipeline/kinds/step_strategies.h"

#include <algorithm>
#include <cmath>

#include "core/game/pareto.h"

namespace nashswarm::pipeline {
namespace {

constexpr int kStepsPerOctave = 16;
constexpr double kLeastDistortion = 1e-12;  // the logarithm of a tensor that comes back exactly

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

}  // namespace nashswarm::pipeline
