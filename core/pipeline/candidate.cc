#include "core/pipeline/candidate.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"

namespace nashswarm::pipeline {
namespace {

// Layers stay decoded between batches while they fit.
constexpr uint64_t kWeightBytes = 4ull << 30;

}  // namespace

// The checkpoint's weights, with players as they come out of their encoded form.
class CandidateEvaluator::EncodedWeights : public forward::Weights {
 public:
  struct Tensor {
    quant::Format format;
    uint64_t row_bytes = 0;
    std::vector<uint8_t> bytes;
  };

  explicit EncodedWeights(std::shared_ptr<const forward::Weights> base) : base_(std::move(base)) {}
  std::map<std::string, Tensor, std::less<>>& tensors() { return tensors_; }

  const std::string& name() const override { return base_->name(); }
  const std::string& architecture() const override { return base_->architecture(); }
  const checkpoint::GgufValue* Hyperparameter(std::string_view key) const override { return base_->Hyperparameter(key); }
  const forward::WeightShape* Find(std::string_view tensor) const override { return base_->Find(tensor); }
  absl::Status Read(std::string_view name, uint64_t first, uint64_t count, float* out) const override {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) return base_->Read(name, first, count, out);
    const uint64_t width = base_->Find(name)->row_weights;
    const Tensor& tensor = it->second;
    for (uint64_t r = 0; r < count; ++r) {
      quant::DecodeRow(tensor.format, &tensor.bytes[(first + r) * tensor.row_bytes], {out + r * width, width});
    }
    return absl::OkStatus();
  }

 private:
  std::shared_ptr<const forward::Weights> base_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

CandidateEvaluator::CandidateEvaluator(const OpenModel& open, const Prepared& prepared, const calibrate::Moments& moments,
                                       std::vector<evaluate::Window> windows, int threads)
    : open_(open), prepared_(prepared), objectives_(open.model, &moments), windows_(std::move(windows)), threads_(threads),
      checkpoint_(forward::WeightsOf(*open.checkpoint, open.model)), encoded_(std::make_shared<EncodedWeights>(checkpoint_)) {}

CandidateEvaluator::~CandidateEvaluator() = default;

absl::Status CandidateEvaluator::EncodeTensor(size_t tensor, quant::Format format) {
  const PreparedTensor& prepared = prepared_.tensors[tensor];
  EncodedWeights::Tensor& target = encoded_->tensors()[prepared.name];
  if (!target.bytes.empty() && target.format == format) return absl::OkStatus();
  target.format = format;
  target.row_bytes = *quant::EncodedBytes(format, 1, prepared.row_weights);
  target.bytes.resize(prepared.rows * target.row_bytes);
  const calibrate::Objective objective = objectives_.Of(tensor);
  std::vector<Chunk> chunks;
  AppendChunks(tensor, prepared.rows, prepared.row_weights, &chunks);
  return ParallelFor(ResolveThreads(threads_), chunks.size(), [&](uint64_t c) {
    std::vector<float> values(chunks[c].rows * prepared.row_weights);
    model::ReadRows(open_.model.tensors[tensor], chunks[c].first, chunks[c].rows, values.data());
    for (float& value : values) value = std::isfinite(value) ? value : 0.0f;
    objective.Encode(format, values.data(), chunks[c].rows, prepared.row_weights,
                      &target.bytes[chunks[c].first * target.row_bytes]);
    return absl::OkStatus();
  });
}

absl::StatusOr<evaluate::Score> CandidateEvaluator::Evaluate(const std::vector<quant::Format>& formats,
                                                             const evaluate::Progress& progress) {
  if (reference_model_ == nullptr) {
    NS_ASSIGN_OR_RETURN(reference_model_, forward::Transformer::Open(checkpoint_, {threads_, kWeightBytes}));
    NS_ASSIGN_OR_RETURN(reference_, evaluate::Predict(*reference_model_, windows_, progress));
  }
  for (size_t t = 0; t < prepared_.tensors.size(); ++t) {
    if (!prepared_.tensors[t].vector) NS_RETURN_IF_ERROR(EncodeTensor(t, formats[t]));
  }
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(encoded_, {threads_, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model, windows_, progress));
  return evaluate::ScorePredictions(predictions, &reference_, windows_, threads_);
}

}  // namespace nashswarm::pipeline
