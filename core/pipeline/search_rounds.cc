#include "core/pipeline/search_rounds.h"

#include <algorithm>

namespace nashswarm::pipeline {
namespace {

// What the protocol allows (core/engine/README.md).
constexpr int kMostRounds = 64;

constexpr size_t kBirds = 12;

bool HasChoice(const Prepared& prepared) {
  return std::any_of(prepared.tensors.begin(), prepared.tensors.end(),
                     [](const PreparedTensor& tensor) { return tensor.has_choice(); });
}

bool Searches(const Spec& spec, const Prepared& prepared) {
  return spec.search.asked() && spec.has_calibration_text() && !spec.has_quality_target() && HasChoice(prepared);
}

// The flock has one round at least.
int AskedContextRounds(const Spec::Search& search) {
  return std::min(search.context_rounds, search.swarm_evaluations > 0 ? kMostRounds - 1 : kMostRounds);
}

int RoundsOf(int evaluations, size_t birds) {
  return birds == 0 ? 0 : static_cast<int>((static_cast<size_t>(evaluations) + birds - 1) / birds);
}

}  // namespace

int ContextRounds(const Spec& spec, const Prepared& prepared) {
  return Searches(spec, prepared) ? AskedContextRounds(spec.search) : 0;
}

size_t FlockSize(const Spec& spec) {
  if (spec.search.off || spec.search.swarm_evaluations <= 0) return 0;
  const auto evaluations = static_cast<size_t>(spec.search.swarm_evaluations),
             rounds = static_cast<size_t>(kMostRounds - AskedContextRounds(spec.search));
  return std::max(std::min(kBirds, evaluations), (evaluations + rounds - 1) / rounds);
}

int SearchRounds(const Spec& spec, const Prepared& prepared) {
  if (!Searches(spec, prepared)) return 0;
  return ContextRounds(spec, prepared) + RoundsOf(spec.search.swarm_evaluations, FlockSize(spec));
}

}  // namespace nashswarm::pipeline
