// Runs calibration text through the model, layer by layer, and writes moments.safetensors.
#ifndef NASHSWARM_CORE_CALIBRATE_COLLECT_H_
#define NASHSWARM_CORE_CALIBRATE_COLLECT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/calibrate/moments.h"
#include "core/evaluate/score.h"
#include "core/evaluate/windows.h"
#include "core/forward/fisher.h"
#include "core/model/architecture.h"

namespace nashswarm::calibrate {

// What goes into moments.safetensors; every part may be empty.
struct MomentSources {
  absl::Span<const evaluate::Window> calibration;  // moments of these
  std::map<std::string, InputMoment> given;        // diagonal ones that are known already, without `calibration`
  const forward::Fisher* fisher = nullptr;         // not owned
  absl::Span<const evaluate::Window> evaluation, search;  // carried along
};

// All windows are at layer l before any is at layer l + 1, so only one layer's moments are in memory as sums.
absl::Status CollectMoments(forward::Transformer& transformer, const model::Model& model, const MomentSources& sources,
                            int threads, const std::string& path, const evaluate::Progress& progress);

// What calibrating `model` will keep of its inputs.
struct MomentSizes {
  std::vector<uint64_t> widths;  // of every input of a player
  uint64_t widest_full = 0;      // inputs up to this width keep their full moment
  uint64_t file_bytes = 0;       // of all moments, packed
  double layer_squares = 0;      // greatest sum over a layer of width^2 of inputs with full moments: all experts' are summed at once
  uint64_t pair_bytes = 0;       // of the counts of pairs of experts
};
MomentSizes SizesOfMoments(const model::Model& model, bool tied_head);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_COLLECT_H_
