#include "core/calibrate/injection.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/calibrate/matrix_loss.h"
#include "core/calibrate/objective.h"
#include "core/calibrate/overlay.h"

namespace nashswarm::calibrate {
namespace {

// Errors of about this many bits show in the predictions, and are not so large that the loss stops growing with them.
constexpr double kInjectedBits = 3.5;
// Rows a thread compresses at a time.
constexpr uint64_t kChunkRows = 128;

quant::Format FormatToInject(uint64_t row_weights) {
  quant::Format best = quant::Format::kQ8_0;
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    if (!info.offered || !quant::FitsRow(info.format, row_weights)) continue;
    if (std::abs(info.bits_per_weight() - kInjectedBits) < std::abs(quant::InfoOf(best).bits_per_weight() - kInjectedBits)) {
      best = info.format;
    }
  }
  return best;
}

struct Injected {
  std::vector<float> values;
  Distortion distortion;
};

Injected Inject(const model::MappedTensor& tensor, const Objective& objective, quant::Format format, int threads) {
  const uint64_t width = tensor.row_weights, row_bytes = *quant::EncodedBytes(format, 1, width),
                 chunks = (tensor.rows + kChunkRows - 1) / kChunkRows;
  Injected injected;
  injected.values.resize(tensor.weights());
  std::vector<Distortion> parts(chunks);
  (void)ParallelFor(ResolveThreads(threads), chunks, [&](uint64_t c) {
    const uint64_t first = c * kChunkRows, rows = std::min(kChunkRows, tensor.rows - first);
    std::vector<float> weights(rows * width);
    std::vector<uint8_t> encoded(rows * row_bytes);
    model::ReadRows(tensor, first, rows, weights.data());
    objective.Encode(format, weights.data(), rows, width, encoded.data());
    float* decoded = &injected.values[first * width];
    for (uint64_t r = 0; r < rows; ++r) quant::DecodeRow(format, &encoded[r * row_bytes], {decoded + r * width, width});
    parts[c] = objective.Compare(weights.data(), decoded, first, 1, rows, width);
    return absl::OkStatus();
  });
  for (const Distortion& part : parts) injected.distortion += part;
  return injected;
}

double MatrixDistortion(const model::MappedTensor& tensor, const std::vector<float>& values, bool tied_head,
                        const Moments& moments) {
  const model::MappedTensor plain = model::InCheckpointOrder(tensor);
  std::vector<float> weights(plain.weights());
  model::ReadRows(plain, 0, plain.rows, weights.data());
  const std::vector<float> decoded = model::ToCheckpointOrder(tensor, values, tensor.row_weights);
  return nsq::Compare(MatrixLossOf(tensor, tied_head, &moments), weights.data(), decoded.data(), 0, plain.rows,
                      plain.row_weights).relative();
}

class Injector {
 public:
  Injector(forward::Transformer& transformer, std::shared_ptr<const forward::Weights> weights,
           absl::Span<const evaluate::Window> windows, int threads, const evaluate::Progress& progress, uint64_t total)
      : transformer_(transformer), weights_(std::move(weights)), windows_(windows), threads_(threads), progress_(progress),
        total_(total) {
    batch_.windows = windows.size();
    batch_.length = windows[0].tokens.size();
    for (const evaluate::Window& window : windows) {
      batch_.tokens.insert(batch_.tokens.end(), window.tokens.begin(), window.tokens.end());
    }
  }

  absl::Status Start() {
    NS_ASSIGN_OR_RETURN(reference_, evaluate::Predict(transformer_, windows_, [](uint64_t, uint64_t) { return absl::OkStatus(); }));
    hidden_.resize(batch_.tokens.size() * transformer_.width());
    return transformer_.Embed(batch_, hidden_.data());
  }

  // What enters layer `layer` becomes what enters the next.
  absl::Status Advance(uint64_t layer) {
    return transformer_.RunLayer(layer, batch_.windows, batch_.length, hidden_.data(), nullptr, nullptr);
  }

  // A tensor of the layer that comes next.
  absl::StatusOr<double> KlOfLayer(uint64_t layer, const forward::Weights& changed) {
    std::vector<float> hidden = hidden_;
    for (uint64_t l = layer; l < transformer_.layers(); ++l) {
      NS_RETURN_IF_ERROR(transformer_.RunLayer(l, batch_.windows, batch_.length, hidden.data(), nullptr,
                                               l == layer ? &changed : nullptr));
    }
    NS_RETURN_IF_ERROR(transformer_.FinalNorm(batch_.tokens.size(), hidden.data(), nullptr));
    NS_RETURN_IF_ERROR(Count(transformer_.layers() - layer));
    return Kl({&transformer_, reference_.rows, Scored(hidden)});
  }

  // A tensor outside the layers: the whole model again.
  absl::StatusOr<double> KlOutside(std::shared_ptr<const forward::Weights> changed) {
    NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(std::move(changed), {threads_, 0}));
    NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions,
                        evaluate::Predict(*model, windows_, [](uint64_t, uint64_t) { return absl::OkStatus(); }));
    NS_RETURN_IF_ERROR(Count(transformer_.layers()));
    return Kl(predictions);
  }

 private:
  absl::Status Count(uint64_t layers) {
    done_ += layers;
    const uint64_t tokens = batch_.tokens.size(), all = transformer_.layers();  // as if every run had been a whole one
    return progress_(std::min(done_, total_) * tokens / all, total_ * tokens / all);
  }

  std::vector<float> Scored(const std::vector<float>& hidden) const {
    const uint64_t width = transformer_.width();
    std::vector<float> rows;
    rows.reserve(reference_.normed.size());
    for (size_t w = 0; w < windows_.size(); ++w) {
      const auto first = hidden.begin() + static_cast<ptrdiff_t>((w * batch_.length + windows_[w].score_from - 1) * width);
      rows.insert(rows.end(), first, first + static_cast<ptrdiff_t>(windows_[w].scored() * width));
    }
    return rows;
  }

  absl::StatusOr<double> Kl(const evaluate::Predictions& predictions) const {
    NS_ASSIGN_OR_RETURN(const evaluate::Score score,
                        evaluate::ScorePredictions(predictions, &reference_, windows_, threads_));
    return score.agreement->mean_kl;
  }

  forward::Transformer& transformer_;
  std::shared_ptr<const forward::Weights> weights_;
  absl::Span<const evaluate::Window> windows_;
  int threads_;
  const evaluate::Progress& progress_;
  uint64_t total_, done_ = 0;
  forward::Batch batch_;
  evaluate::Predictions reference_;
  std::vector<float> hidden_;  // what enters the next layer, unchanged
};

// An expert that no token reached counts as if half a token had, since others will.
constexpr double kUnseenTokens = 0.5;

// The experts of a stack, from tensor `first` on.
size_t StackEnd(const model::Model& model, size_t first) {
  size_t end = first + 1;
  while (end < model.tensors.size() && model.tensors[end].expert > 0 &&
         model::StackOf(model.tensors[end]) == model::StackOf(model.tensors[first])) {
    ++end;
  }
  return end;
}

// What each expert of a stack puts into the result: the tokens that use it, times the energy of what it gives one of them.
std::vector<double> RoutedEnergy(const model::Model& model, size_t first, size_t end, const Moments& moments,
                                 const std::vector<double>& energies) {
  const std::vector<float> tokens = moments.Vector(absl::StrCat(kExpertTokens, model.tensors[first].layer));
  const auto of = [&](size_t i) { return i < tokens.size() ? static_cast<double>(tokens[i]) : 1.0; };
  double seen = 0, mean = 0;
  for (size_t i = 0; i < end - first; ++i) {
    seen += of(i);
    mean += of(i) * energies[i];
  }
  std::vector<double> routed;
  for (size_t i = 0; i < end - first; ++i) {
    routed.push_back(of(i) > 0 ? of(i) * energies[i] : kUnseenTokens * (seen > 0 ? mean / seen : 1.0));
  }
  return routed;
}

uint64_t LayersToRun(const model::Model& model, uint64_t layers) {
  uint64_t total = 0;
  for (const model::MappedTensor& tensor : model.tensors) {
    if (!tensor.is_player() || tensor.expert > 0) continue;  // a stack of experts runs once
    total += tensor.layer < 0 ? layers : layers - static_cast<uint64_t>(tensor.layer);
  }
  return total;
}

}  // namespace

absl::StatusOr<std::vector<LossWeight>> MeasureLossWeights(
    forward::Transformer& transformer, std::shared_ptr<const forward::Weights> weights, const model::Model& model,
    const Moments& moments, absl::Span<const evaluate::Window> windows, int threads, const evaluate::Progress& progress) {
  Injector injector(transformer, weights, windows, threads, progress, LayersToRun(model, transformer.layers()));
  NS_RETURN_IF_ERROR(injector.Start());
  std::vector<LossWeight> by_tensor(model.tensors.size());
  const auto measure = [&](size_t t) -> absl::Status {
    const model::MappedTensor& tensor = model.tensors[t];
    LossWeight& result = by_tensor[t];
    result.tensor = tensor.name;
    result.format = FormatToInject(tensor.row_weights);
    Injected injected = Inject(tensor, Objective::Of(tensor, transformer.tied_head(), &moments), result.format, threads);
    result.distortion = injected.distortion.relative();
    result.matrix_distortion = MatrixDistortion(tensor, injected.values, transformer.tied_head(), moments);
    auto changed = std::make_shared<OverlayWeights>(weights);
    changed->Replace(tensor.name, std::move(injected.values));
    if (tensor.layer < 0) {
      NS_ASSIGN_OR_RETURN(result.kl, injector.KlOutside(std::move(changed)));
    } else {
      NS_ASSIGN_OR_RETURN(result.kl, injector.KlOfLayer(static_cast<uint64_t>(tensor.layer), *changed));
    }
    return absl::OkStatus();
  };
  // The experts of a layer are compressed together: one by one they are too many, and what most of them do is below the noise.
  // The loss of all goes to each by what its error does to the result: an error counts with the tokens that meet it, and with
  // the weight the router gives the expert, which is in the moment of its input.
  const auto measure_stack = [&](size_t first) -> absl::Status {
    const size_t end = StackEnd(model, first);
    auto changed = std::make_shared<OverlayWeights>(weights);
    std::vector<double> energies;
    for (size_t t = first; t < end; ++t) {
      const model::MappedTensor& tensor = model.tensors[t];
      LossWeight& result = by_tensor[t];
      result.tensor = tensor.name;
      result.format = FormatToInject(tensor.row_weights);
      Injected injected = Inject(tensor, Objective::Of(tensor, transformer.tied_head(), &moments), result.format, threads);
      result.distortion = injected.distortion.relative();
      result.matrix_distortion = MatrixDistortion(tensor, injected.values, transformer.tied_head(), moments);
      energies.push_back(injected.distortion.product.energy);
      changed->Replace(tensor.name, std::move(injected.values));
    }
    NS_ASSIGN_OR_RETURN(const double kl, injector.KlOfLayer(static_cast<uint64_t>(model.tensors[first].layer), *changed));
    const std::vector<double> routed = RoutedEnergy(model, first, end, moments, energies);
    double errors = 0;
    for (size_t t = first; t < end; ++t) errors += routed[t - first] * by_tensor[t].distortion;
    for (size_t t = first; t < end; ++t) {
      by_tensor[t].kl = errors > 0 ? kl * routed[t - first] * by_tensor[t].distortion / errors : 0;
    }
    return absl::OkStatus();
  };
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (model.tensors[t].is_player() && model.tensors[t].layer < 0) NS_RETURN_IF_ERROR(measure(t));
  }
  for (uint64_t layer = 0; layer < transformer.layers(); ++layer) {
    for (size_t t = 0; t < model.tensors.size(); ++t) {
      if (!model.tensors[t].is_player() || model.tensors[t].layer != static_cast<int>(layer) || model.tensors[t].expert > 0) continue;
      NS_RETURN_IF_ERROR(model.tensors[t].expert == 0 ? measure_stack(t) : measure(t));
    }
    NS_RETURN_IF_ERROR(injector.Advance(layer));
  }
  std::vector<LossWeight> players;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (model.tensors[t].is_player()) players.push_back(by_tensor[t]);
  }
  return players;
}

}  // namespace nashswarm::calibrate
