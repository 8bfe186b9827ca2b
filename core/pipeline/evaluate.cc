// EVALUATE: the artifact itself, byte for byte as it will be published, is opened and run on the held-out text.
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/preset_run.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

// Layers of either model stay decoded between batches while they fit.
constexpr uint64_t kWeightBytes = 4ull << 30;

}  // namespace

absl::StatusOr<Json> Evaluate(const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageInputs in, StageInputs::Open(task));
  NS_ASSIGN_OR_RETURN(const Plan plan, ReadPlanToEncode(task.in_dir, in.prepared));
  const std::vector<evaluate::Window> windows = calibrate::EvaluationWindows(*in.calibrated.moments);

  // Below out/, the only directory that a task may write to; gone when this returns.
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory scratch, TemporaryDirectory::Create(task.out_dir));
  NS_ASSIGN_OR_RETURN(const Assembled assembled, AssembleWeights(task, in, plan, scratch.path(), [](uint64_t) {}));
  NS_ASSIGN_OR_RETURN(const ReadableWeights made, in.kind->Open(task, plan.expert_order, scratch.path()));
  const std::shared_ptr<const forward::Weights> original = forward::WeightsOf(*in.open.checkpoint, in.open.model);

  const uint64_t tokens = evaluate::TokensOf(windows);
  const bool compares = task.compares && calibrate::ReferenceRuns(in.open.model) > 1;
  const auto progress = [&](uint64_t before, const char* what) {
    return [&task, before, tokens, what, compares](uint64_t done, uint64_t) {
      task.observer->Progress(before + done, (compares ? 3 : 2) * tokens, what);
      return absl::OkStatus();
    };
  };
  NS_ASSIGN_OR_RETURN(const auto reference_model, forward::Transformer::Open(original, {task.threads, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions reference,
                      evaluate::Predict(*reference_model, windows, progress(0, "checkpoint")));
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(made.weights, {task.threads, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions,
                      evaluate::Predict(*model, windows, progress(tokens, "artifact")));
  NS_ASSIGN_OR_RETURN(const evaluate::Score score,
                      evaluate::ScorePredictions(predictions, &reference, windows, task.threads));

  Evaluation evaluation{ToHex(assembled.file.sha256), score};
  if (compares) {
    absl::StatusOr<PresetScore> preset =
        MeasurePreset({in.open, *in.calibrated.moments, task.spec.calibrates_encoders(), windows, reference, task.threads},
                      assembled.file.bytes, progress(2 * tokens, "llama.cpp's preset"));
    if (!preset.ok() && !evaluate::Overflows(preset.status())) return preset.status();
    if (preset.ok() && evaluate::IsFinite(preset->score)) evaluation.preset = *std::move(preset);
  }
  NS_RETURN_IF_ERROR(evaluation.Write(task.out_dir));
  return Json{{"perplexity", score.perplexity}, {"mean_kl", score.agreement->mean_kl}};
}

}  // namespace nashswarm::pipeline
