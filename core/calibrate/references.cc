#include "core/calibrate/references.h"

#include <unistd.h>

#include <iterator>

#include "core/base/status.h"
#include "core/calibrate/overlay.h"
#include "core/quant/baseline.h"

namespace nashswarm::calibrate {
namespace {

// Round to nearest in groups of a row: what most tools mean by "4 bits".
struct Baseline {
  const char* name;
  int bits;
  uint64_t group;
};
constexpr Baseline kBaselines[] = {{"rounding in groups of 32, 4 bits", 4, 32}, {"rounding in groups of 128, 4 bits", 4, 128}};

absl::StatusOr<Reference> MeasureBaseline(const Baseline& baseline, const std::shared_ptr<const forward::Weights>& weights,
                                          const model::Model& model, const evaluate::Predictions& checkpoint,
                                          absl::Span<const evaluate::Window> windows, int threads,
                                          const evaluate::Progress& progress) {
  Reference reference{baseline.name, 0, {}};
  auto overlay = std::make_shared<OverlayWeights>(weights);
  for (const model::MappedTensor& tensor : model.tensors) {
    if (!tensor.is_player()) {
      reference.bytes += tensor.weights() * sizeof(uint16_t);
      continue;
    }
    std::vector<float> values(tensor.weights());
    model::ReadRows(tensor, 0, tensor.rows, values.data());
    reference.bytes += quant::RoundInGroups(values, tensor.row_weights, baseline.bits, baseline.group, absl::MakeSpan(values));
    overlay->Replace(tensor.name, std::move(values));
  }
  NS_ASSIGN_OR_RETURN(const auto transformer, forward::Transformer::Open(std::move(overlay), {threads, 0}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*transformer, windows, progress));
  NS_ASSIGN_OR_RETURN(reference.score, evaluate::ScorePredictions(predictions, &checkpoint, windows, threads));
  return reference;
}

}  // namespace

uint64_t ReferenceRuns(const model::Model& model) {
  // The baseline as floats, next to the checkpoint as floats, and both twice over for everything else.
  const auto memory = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return model.parameters * sizeof(float) <= memory / 4 ? 1 + std::size(kBaselines) : 1;
}

absl::StatusOr<std::vector<Reference>> MeasureReferences(forward::Transformer& checkpoint,
                                                         std::shared_ptr<const forward::Weights> weights,
                                                         const model::Model& model, uint64_t source_weight_bytes,
                                                         absl::Span<const evaluate::Window> windows, int threads,
                                                         const evaluate::Progress& progress) {
  const uint64_t runs = ReferenceRuns(model), tokens = evaluate::TokensOf(windows);
  uint64_t run = 0;
  const evaluate::Progress part = [&](uint64_t done, uint64_t) { return progress(run * tokens + done, runs * tokens); };
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(checkpoint, windows, part));
  NS_ASSIGN_OR_RETURN(const evaluate::Score score, evaluate::ScorePredictions(predictions, nullptr, windows, threads));
  std::vector<Reference> references = {{"checkpoint", source_weight_bytes, score}};
  for (const Baseline& baseline : kBaselines) {
    if (++run == runs) break;
    absl::StatusOr<Reference> reference = MeasureBaseline(baseline, weights, model, predictions, windows, threads, part);
    if (evaluate::Overflows(reference.status())) continue;
    NS_RETURN_IF_ERROR(reference.status());
    if (evaluate::IsFinite(reference->score)) references.push_back(*std::move(reference));
  }
  return references;
}

}  // namespace nashswarm::calibrate
