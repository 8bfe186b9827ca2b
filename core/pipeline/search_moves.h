// How a search moves loss weights: by what each tensor's error is worth in context, and by the positions of a flock.
#ifndef NASHSWARM_CORE_PIPELINE_SEARCH_MOVES_H_
#define NASHSWARM_CORE_PIPELINE_SEARCH_MOVES_H_

#include <string>
#include <vector>

#include "core/model/architecture.h"
#include "core/pipeline/files/prepared.h"

namespace nashswarm::pipeline {

// a_t, moved half way (of its logarithm) toward harm_t / D_t, by a factor of 4 at most. `kl` is what all tensors do together: a
// harm that came out below a small share of it, or negative, counts as that share. Weights stay where there is no distortion.
std::vector<double> MoveTowardHarm(const std::vector<double>& weights, const std::vector<double>& distortions,
                                   const std::vector<double>& harms, double kl, const std::vector<bool>& has_choice);

// The coordinates a flock flies in: one for each role and third of the depth, among the tensors with a choice.
struct Coordinates {
  std::vector<int> of_tensor;  // -1: none
  size_t count = 0;
};
Coordinates CoordinatesOf(const Prepared& prepared, const model::Model& model, const std::vector<bool>& has_choice);

// Loss weights at a position: each times 2 to the power of its coordinate.
std::vector<double> WeightsAt(const std::vector<double>& base, const Coordinates& coordinates, const std::vector<double>& position);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SEARCH_MOVES_H_
