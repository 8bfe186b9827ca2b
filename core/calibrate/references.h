// What an artifact is compared with: the checkpoint itself and plain rounding, which any tool can do.
#ifndef NASHSWARM_CORE_CALIBRATE_REFERENCES_H_
#define NASHSWARM_CORE_CALIBRATE_REFERENCES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/evaluate/score.h"
#include "core/forward/transformer.h"
#include "core/model/architecture.h"

namespace nashswarm::calibrate {

struct Reference {
  std::string name;      // "checkpoint", "rounding in groups of 32, 4 bits", "rounding in groups of 128, 4 bits"
  uint64_t bytes = 0;    // the checkpoint's files; a baseline's codes and scales, and its vectors as F16
  evaluate::Score score; // with agreement, except the checkpoint's
};

// The checkpoint first; a baseline that overflows, or whose score is not finite, is left out: there is nothing to compare with.
// `progress` hears tokens run through a model, of `windows` times the number of runs (ReferenceRuns).
absl::StatusOr<std::vector<Reference>> MeasureReferences(forward::Transformer& checkpoint,
                                                         std::shared_ptr<const forward::Weights> weights,
                                                         const model::Model& model, uint64_t source_weight_bytes,
                                                         absl::Span<const evaluate::Window> windows, int threads,
                                                         const evaluate::Progress& progress);
// How many models MeasureReferences runs: baselines are kept as floats, so only for models that leave room for it.
uint64_t ReferenceRuns(const model::Model& model);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_REFERENCES_H_
