// A preset of llama.cpp run through the model: its types for every tensor, by our encoders, as llama.cpp would use an
// importance matrix.
#ifndef NASHSWARM_CORE_PIPELINE_PRESET_RUN_H_
#define NASHSWARM_CORE_PIPELINE_PRESET_RUN_H_

#include <optional>

#include "core/evaluate/score.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/llama_preset.h"
#include "core/pipeline/players.h"

namespace nashswarm::pipeline {

struct PresetRun {
  const OpenModel& open;
  const calibrate::Moments& moments;
  bool weighted = false;                  // by the second moments of inputs
  absl::Span<const evaluate::Window> windows;
  const evaluate::Predictions& checkpoint;  // of `windows`
  int threads = 0;
};

// The preset whose file is nearest to `bytes`. Keeps the model's matrices as floats (calibrate::ReferenceRuns).
absl::StatusOr<PresetScore> MeasurePreset(const PresetRun& run, uint64_t bytes, const evaluate::Progress& progress);

// What the curves of MEASURE predict for the preset's choices; nullopt when one was not measured (rules, or nsq).
std::optional<double> PredictedLoss(const LlamaPreset& preset, const Players& players);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PRESET_RUN_H_
