#include "core/pipeline/preset_run.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/calibrate/overlay.h"

namespace nashswarm::pipeline {
namespace {

// Layers are decoded again for every batch of windows: the weights that replace them are floats already.
constexpr uint64_t kKeptLayers = 0;

// llama.cpp's importance matrix has no entry for the embedding, nor for the head.
std::vector<float> ImportanceOf(const PresetRun& run, const model::MappedTensor& tensor, bool tied_head) {
  if (!run.weighted || tensor.role == model::Role::kTokenEmbedding || tensor.role == model::Role::kOutput) return {};
  std::vector<float> importance = run.moments.Diagonal(forward::InputOf(tensor.name, tied_head));
  if (importance.size() != tensor.row_weights) importance.clear();
  return importance;
}

// llama.cpp weighs the error of a weight by its column's importance and by the root of its square and twice the mean square of its
// block: large weights count more. (Its Q6_K and Q8_0 do not.)
std::vector<float> WeightsOfErrors(quant::Format format, absl::Span<const float> row, const std::vector<float>& importance) {
  constexpr size_t kBlock = 256;
  if (format == quant::Format::kQ6_K || format == quant::Format::kQ8_0) return importance;
  std::vector<float> weights(row.size());
  for (size_t first = 0; first < row.size(); first += kBlock) {
    const size_t last = std::min(first + kBlock, row.size());
    double squares = 0;
    for (size_t i = first; i < last; ++i) squares += static_cast<double>(row[i]) * row[i];
    const double typical = 2 * squares / static_cast<double>(last - first);
    for (size_t i = first; i < last; ++i) {
      const double size = std::sqrt(typical + static_cast<double>(row[i]) * row[i]);
      weights[i] = static_cast<float>(size * (importance.empty() ? 1.0 : importance[i]));
    }
  }
  return weights;
}

std::vector<float> AsInPreset(const PresetRun& run, const model::MappedTensor& tensor, bool tied_head, quant::Format format) {
  const uint64_t width = tensor.row_weights;
  const std::vector<float> importance = ImportanceOf(run, tensor, tied_head);
  std::vector<float> values(tensor.weights());
  std::vector<uint8_t> encoded(*quant::EncodedBytes(format, 1, width));
  model::ReadRows(tensor, 0, tensor.rows, values.data());
  for (float& value : values) value = std::isfinite(value) ? value : 0.0f;
  for (uint64_t r = 0; r < tensor.rows; ++r) {
    const absl::Span<float> row(&values[r * width], width);
    quant::EncodeRow(format, row, WeightsOfErrors(format, row, importance), encoded.data());
    quant::DecodeRow(format, encoded.data(), row);
  }
  return values;
}

}  // namespace

absl::StatusOr<PresetScore> MeasurePreset(const PresetRun& run, uint64_t bytes, const evaluate::Progress& progress) {
  const std::vector<model::MappedTensor>& tensors = run.open.model.tensors;
  const bool tied_head = HasTiedHead(run.open.model);
  const LlamaPreset preset = NearestPreset(LlamaPresets(run.open), bytes);
  auto overlay = std::make_shared<calibrate::OverlayWeights>(forward::WeightsOf(*run.open.checkpoint, run.open.model));
  std::vector<std::vector<float>> decoded(tensors.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(run.threads), tensors.size(), [&](uint64_t t) {
    if (preset.formats[t] != quant::Format::kF32) decoded[t] = AsInPreset(run, tensors[t], tied_head, preset.formats[t]);
    return absl::OkStatus();
  }));
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (!decoded[t].empty()) overlay->Replace(tensors[t].name, std::move(decoded[t]));
  }
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(std::move(overlay), {run.threads, kKeptLayers}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model, run.windows, progress));
  NS_ASSIGN_OR_RETURN(evaluate::Score score, evaluate::ScorePredictions(predictions, &run.checkpoint, run.windows, run.threads));
  return PresetScore{preset.name, preset.bytes, run.weighted, std::move(score)};
}

std::optional<double> PredictedLoss(const LlamaPreset& preset, const Players& players) {
  double loss = 0;
  if (preset.formats.size() != players.players.size()) return std::nullopt;
  for (size_t t = 0; t < preset.formats.size(); ++t) {
    const Choice wanted{preset.formats[t], 0};
    const auto& choices = players.choices[t];
    const auto found = std::find(choices.begin(), choices.end(), wanted);
    if (found == choices.end()) return std::nullopt;
    loss += players.players[t].loss_weight * players.players[t].strategies[static_cast<size_t>(found - choices.begin())].distortion;
  }
  return loss;
}

}  // namespace nashswarm::pipeline
