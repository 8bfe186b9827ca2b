#include "core/pipeline/candidate.h"

#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/step_search.h"

namespace nashswarm::pipeline {
namespace {

// Layers stay decoded between batches while they fit.
constexpr uint64_t kWeightBytes = 4ull << 30;
// Tensors of nsq stay read, with the moments of their inputs, while the model has at most so many weights.
constexpr uint64_t kKeptWeights = 256u << 20;
// EvaluateAt: within this share of the budget is near enough.
constexpr double kClose = 0.0005;
constexpr int kTries = 4;

}  // namespace

CandidateEvaluator::CandidateEvaluator(const OpenModel& open, const Prepared& prepared, const calibrate::Moments& moments,
                                       std::vector<evaluate::Window> windows, int threads)
    : open_(open), prepared_(prepared), moments_(moments), objectives_(open.model, &moments), windows_(std::move(windows)),
      threads_(threads), checkpoint_(forward::WeightsOf(*open.checkpoint, open.model)),
      overlay_(std::make_shared<calibrate::OverlayWeights>(checkpoint_)), slots_(prepared.tensors.size()) {
  for (const PreparedTensor& tensor : prepared.tensors) {
    const auto it = std::find_if(open.model.tensors.begin(), open.model.tensors.end(),
                                 [&](const model::MappedTensor& mapped) { return mapped.name == tensor.name; });
    sources_.push_back(&*it);
  }
}

CandidateEvaluator::~CandidateEvaluator() = default;

// All of the tensor, decoded, as the forward pass reads it.
absl::StatusOr<std::vector<float>> CandidateEvaluator::EncodeBlocks(size_t tensor, quant::Format format, int threads) {
  const PreparedTensor& prepared = prepared_.tensors[tensor];
  const uint64_t width = prepared.row_weights, row_bytes = *quant::EncodedBytes(format, 1, width);
  const auto index = static_cast<size_t>(sources_[tensor] - open_.model.tensors.data());
  const calibrate::Objective objective = objectives_.Of(index);
  std::vector<float> decoded(prepared.weights());
  std::vector<Chunk> chunks;
  AppendChunks(tensor, prepared.rows, width, &chunks);
  NS_RETURN_IF_ERROR(ParallelFor(threads, chunks.size(), [&](uint64_t c) {
    std::vector<float> values(chunks[c].rows * width);
    std::vector<uint8_t> encoded(chunks[c].rows * row_bytes);
    model::ReadRows(*sources_[tensor], chunks[c].first, chunks[c].rows, values.data());
    for (float& value : values) value = std::isfinite(value) ? value : 0.0f;
    objective.Encode(format, values.data(), chunks[c].rows, width, encoded.data());
    for (uint64_t r = 0; r < chunks[c].rows; ++r) {
      quant::DecodeRow(format, &encoded[r * row_bytes], {&decoded[(chunks[c].first + r) * width], width});
    }
    return absl::OkStatus();
  }));
  slots_[tensor].bytes = prepared.AlignedBytes(format);
  return decoded;
}

absl::StatusOr<std::vector<float>> CandidateEvaluator::EncodeTensor(size_t tensor, const Choice& choice, int threads) {
  if (!choice.is_coded()) return EncodeBlocks(tensor, choice.format, threads);
  Slot& slot = slots_[tensor];
  std::unique_ptr<CodedTensor> passing;
  if (slot.coded == nullptr) {
    nsq::Settings settings;
    settings.threads = threads;
    passing = CodedTensor::Read(*sources_[tensor], HasTiedHead(open_.model), &moments_, 1, settings);
    if (prepared_.parameters <= kKeptWeights) slot.coded = std::move(passing);
  }
  const CodedTensor& coded = slot.coded != nullptr ? *slot.coded : *passing;
  NS_ASSIGN_OR_RETURN(const CodedTensor::Encoded encoded, coded.Encode(choice.step, threads));
  slot.bytes = encoded.stream.size();
  slot.distortion = encoded.distortion;
  return model::FromCheckpointOrder(*sources_[tensor], encoded.decoded);
}

absl::Status CandidateEvaluator::EncodeTensors(const std::vector<Choice>& choices) {
  std::vector<size_t> changed;
  for (size_t t = 0; t < choices.size(); ++t) {
    if (!slots_[t].encoded || !(slots_[t].choice == choices[t])) changed.push_back(t);
  }
  // The largest first, side by side: results do not depend on who does what.
  std::stable_sort(changed.begin(), changed.end(), [this](size_t a, size_t b) {
    return prepared_.tensors[a].weights() > prepared_.tensors[b].weights();
  });
  std::vector<std::vector<float>> decoded(changed.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads_), changed.size(), [&](uint64_t i) -> absl::Status {
    const size_t t = changed[i];
    slots_[t].encoded = true;
    slots_[t].choice = choices[t];
    if (!sources_[t]->is_player()) {
      slots_[t].bytes = prepared_.format == "gguf"
                            ? prepared_.tensors[t].AlignedBytes(choices[t].format)
                            : prepared_.tensors[t].weights() * quant::InfoOf(choices[t].format).block_bytes;
      return absl::OkStatus();
    }
    NS_ASSIGN_OR_RETURN(decoded[i], EncodeTensor(t, choices[t], 1));
    return absl::OkStatus();
  }));
  for (size_t i = 0; i < changed.size(); ++i) {
    if (!decoded[i].empty()) overlay_->Replace(prepared_.tensors[changed[i]].name, std::move(decoded[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<evaluate::Score> CandidateEvaluator::ScoreNow(const evaluate::Progress& progress) {
  if (reference_model_ == nullptr) {
    NS_ASSIGN_OR_RETURN(reference_model_, forward::Transformer::Open(checkpoint_, {threads_, kWeightBytes}));
    NS_ASSIGN_OR_RETURN(reference_, evaluate::Predict(*reference_model_, windows_, progress));
  }
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(overlay_, {threads_, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model, windows_, progress));
  return evaluate::ScorePredictions(predictions, &reference_, windows_, threads_);
}

uint64_t CandidateEvaluator::BytesNow() const {
  uint64_t bytes = 0;
  for (const Slot& slot : slots_) bytes += slot.bytes;
  return bytes;
}

CandidateEvaluator::Tried CandidateEvaluator::Describe(evaluate::Score score) const {
  Tried tried;
  tried.score = std::move(score);
  tried.bytes = BytesNow();
  for (const Slot& slot : slots_) {
    tried.tensor_bytes.push_back(slot.bytes);
    tried.distortions.push_back(slot.distortion);
    tried.choices.push_back(slot.choice);
  }
  return tried;
}

absl::StatusOr<CandidateEvaluator::Tried> CandidateEvaluator::Evaluate(const std::vector<Choice>& choices,
                                                                       const evaluate::Progress& progress) {
  NS_RETURN_IF_ERROR(EncodeTensors(choices));
  NS_ASSIGN_OR_RETURN(evaluate::Score score, ScoreNow(progress));
  return Describe(std::move(score));
}

absl::StatusOr<CandidateEvaluator::Tried> CandidateEvaluator::EvaluateAt(uint64_t budget, std::vector<Choice> choices,
                                                                         const evaluate::Progress& progress) {
  const std::vector<Choice> asked = choices;
  double factor = 1;
  if (std::any_of(asked.begin(), asked.end(), [](const Choice& choice) { return choice.is_coded(); })) {
    StepSearch search(budget, prepared_.parameters, kClose, kTries);
    const auto encode_at = [&](double log_factor) {
      factor = std::exp2(log_factor);
      for (size_t t = 0; t < choices.size(); ++t) {
        if (asked[t].is_coded()) choices[t].step = static_cast<float>(asked[t].step * factor);
      }
      return EncodeTensors(choices);
    };
    bool is_best = false;  // what is encoded now
    while (!search.done()) {
      NS_RETURN_IF_ERROR(encode_at(search.log_factor()));
      is_best = search.Took(BytesNow());
    }
    if (!is_best) NS_RETURN_IF_ERROR(encode_at(search.best_log_factor()));
    NS_RETURN_IF_ERROR(Spend(budget, &choices));
  } else {
    NS_RETURN_IF_ERROR(EncodeTensors(choices));
  }
  NS_ASSIGN_OR_RETURN(evaluate::Score score, ScoreNow(progress));
  Tried tried = Describe(std::move(score));
  tried.step_factor = factor;
  return tried;
}

// What a common factor leaves over, as ENCODE would spend it.
absl::Status CandidateEvaluator::Spend(uint64_t budget, std::vector<Choice>* choices) {
  std::vector<Spender> spenders;
  for (size_t t = 0; t < choices->size(); ++t) {
    if ((*choices)[t].is_coded()) spenders.push_back({t, prepared_.tensors[t].weights(), slots_[t].bytes, (*choices)[t].step});
  }
  Choice choice;
  uint64_t bytes = 0;
  double distortion = 0;
  std::vector<float> decoded;
  const auto encode = [&](size_t t, double step) -> absl::StatusOr<uint64_t> {
    choice = slots_[t].choice, bytes = slots_[t].bytes, distortion = slots_[t].distortion;
    decoded = overlay_->Remove(prepared_.tensors[t].name);
    (*choices)[t].step = static_cast<float>(step);
    NS_RETURN_IF_ERROR(EncodeTensors(*choices));
    return slots_[t].bytes;
  };
  return SpendLeftover(budget, BytesNow(), kClose, std::move(spenders), encode, [&](size_t t, bool stays) {
    if (stays) return;
    slots_[t].choice = (*choices)[t] = choice;
    slots_[t].bytes = bytes, slots_[t].distortion = distortion;
    overlay_->Replace(prepared_.tensors[t].name, std::move(decoded));
  });
}

absl::StatusOr<double> CandidateEvaluator::KlWithExact(size_t tensor, const evaluate::Progress& progress) {
  const std::string& name = prepared_.tensors[tensor].name;
  const std::vector<float> kept = overlay_->Remove(name);
  absl::StatusOr<evaluate::Score> score = ScoreNow(progress);
  overlay_->Replace(name, kept);
  if (!score.ok()) return score.status();
  return score->agreement->mean_kl;
}

}  // namespace nashswarm::pipeline
