// EVALUATE: the artifact itself, byte for byte as it will be published, is opened and run on the held-out text.
#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/evaluation.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/preset_run.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

constexpr char kFile[] = "evaluation.json";
// Layers of either model stay decoded between batches while they fit.
constexpr uint64_t kWeightBytes = 4ull << 30;

// The artifact as any reader opens it; an nsq one is unpacked first, as a user would.
struct ArtifactWeights {
  std::unique_ptr<const OpenModel> unpacked;  // of nsq; the weights point into it
  std::shared_ptr<const forward::Weights> weights;
};

absl::StatusOr<ArtifactWeights> OpenArtifact(const Task& task, const artifact::ExpertOrders& orders,
                                             const std::string& directory) {
  ArtifactWeights out;
  if (!task.spec.is_nsq()) {
    NS_ASSIGN_OR_RETURN(const artifact::OpenGguf gguf, artifact::Open(directory));
    out.weights = forward::WeightsOf(JoinPath(directory, artifact::kGgufFile), gguf.file, gguf.gguf);
    return out;
  }
  NS_RETURN_IF_ERROR(artifact::CopyCompanions(task.model_dir, 0, orders, directory));
  NS_ASSIGN_OR_RETURN(const artifact::OpenNsq nsq, artifact::ReadNsq(directory));
  const std::string dense = JoinPath(directory, "dense");
  NS_RETURN_IF_ERROR(artifact::Unpack(nsq, checkpoint::DType::kF32, dense, task.threads, [](uint64_t, uint64_t) {}));
  NS_ASSIGN_OR_RETURN(OpenModel unpacked, OpenAndMap(dense));
  out.unpacked = std::make_unique<const OpenModel>(std::move(unpacked));
  out.weights = forward::WeightsOf(*out.unpacked->checkpoint, out.unpacked->model);
  return out;
}

}  // namespace

absl::StatusOr<Json> Evaluate(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const Json plan, ReadPlan(task.in_dir));
  NS_ASSIGN_OR_RETURN(const Calibrated calibrated, ReadCalibrated(task));
  const std::vector<evaluate::Window> windows = calibrate::EvaluationWindows(*calibrated.moments);

  // Below out/, the only directory that a task may write to; gone when this returns.
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory scratch, TemporaryDirectory::Create(task.out_dir));
  NS_ASSIGN_OR_RETURN(const Assembled assembled, AssembleWeights(task, prepared, open, plan, scratch.path(), [](uint64_t) {}));
  NS_ASSIGN_OR_RETURN(const ArtifactWeights made, OpenArtifact(task, OrdersIn(plan), scratch.path()));
  const std::shared_ptr<const forward::Weights> original = forward::WeightsOf(*open.checkpoint, open.model);

  const uint64_t tokens = evaluate::TokensOf(windows);
  const bool compares = task.compares && calibrate::ReferenceRuns(open.model) > 1;
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

  Json json = {{"sha256", ToHex(assembled.file.sha256)}, {"score", calibrate::ToJson(score)}};
  if (compares) {
    const absl::StatusOr<PresetScore> preset =
        MeasurePreset({open, *calibrated.moments, task.spec.calibrates_encoders(), windows, reference, task.threads},
                      assembled.file.bytes, progress(2 * tokens, "llama.cpp's preset"));
    if (!preset.ok() && !evaluate::Overflows(preset.status())) return preset.status();
    if (preset.ok() && evaluate::IsFinite(preset->score)) {
      json["preset"] = {{"name", preset->name}, {"bytes", preset->bytes}, {"weighted", preset->weighted},
                        {"score", calibrate::ToJson(preset->score)}};
    }
  }
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, kFile), json.dump(1)));
  return Json{{"perplexity", score.perplexity}, {"mean_kl", score.agreement->mean_kl}};
}

absl::StatusOr<Evaluation> ReadEvaluation(const std::string& in_dir) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, kFile)));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, kFile));
  Evaluation evaluation{json.at("sha256"), calibrate::ScoreOf(json.at("score"))};
  if (json.contains("preset")) {
    const Json& preset = json.at("preset");
    evaluation.preset = PresetScore{preset.at("name"), preset.at("bytes"), preset.at("weighted"), calibrate::ScoreOf(preset.at("score"))};
  }
  return evaluation;
}

Json QualityJson(const Evaluation& evaluation, const calibrate::Calibration& calibration) {
  const evaluate::Agreement& agreement = *evaluation.score.agreement;
  return {{"perplexity", evaluation.score.perplexity},
          {"source_perplexity", calibration.references.at(0).score.perplexity},
          {"mean_kl", agreement.mean_kl},
          {"mean_kl_stderr", agreement.mean_kl_stderr},
          {"p99_kl", agreement.p99_kl},
          {"same_top1", agreement.same_top1},
          {"tokens", evaluation.score.tokens}};
}

}  // namespace nashswarm::pipeline
