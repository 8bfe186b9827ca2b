// What a coded tensor may play: steps between those that were measured.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_STEP_STRATEGIES_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_STEP_STRATEGIES_H_

#include <cstdint>
#include <vector>

#include "core/game/game.h"
#include "core/pipeline/files/choice.h"

namespace nashswarm::pipeline {

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

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_STEP_STRATEGIES_H_
