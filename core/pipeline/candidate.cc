#include "core/pipeline/candidate.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/step_search.h"

namespace nashswarm::pipeline {
namespace {

// Layers stay decoded between batches while they fit.
constexpr uint64_t kWeightBytes = 4ull << 30;
// EvaluateAt: within this share of the budget is near enough.
constexpr double kClose = 0.0005;
constexpr int kTries = 4;

}  // namespace

CandidateEvaluator::CandidateEvaluator(const StageInputs& in, std::vector<evaluate::Window> windows, int threads)
    : prepared_(in.prepared), trials_(in.kind->MakeTrials(in)), windows_(std::move(windows)), threads_(threads),
      checkpoint_(forward::WeightsOf(*in.open.checkpoint, in.open.model)),
      overlay_(std::make_shared<calibrate::OverlayWeights>(checkpoint_)), slots_(in.prepared.tensors.size()) {}

CandidateEvaluator::~CandidateEvaluator() = default;

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
    Slot& slot = slots_[t];
    slot.encoded = true;
    slot.choice = choices[t];
    NS_ASSIGN_OR_RETURN(TensorTrials::Tried tried, trials_->Encode(t, choices[t], 1));
    slot.bytes = tried.bytes;
    slot.distortion = tried.distortion;
    decoded[i] = std::move(tried.decoded);
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
  if (std::any_of(asked.begin(), asked.end(), [](const Choice& choice) { return choice.has_step(); })) {
    StepSearch search(budget, prepared_.parameters, kClose, kTries);
    const auto encode_at = [&](double log_factor) {
      factor = std::exp2(log_factor);
      for (size_t t = 0; t < choices.size(); ++t) choices[t] = asked[t].Scaled(factor);
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
    if ((*choices)[t].has_step()) spenders.push_back({t, prepared_.tensors[t].weights(), slots_[t].bytes, (*choices)[t].step});
  }
  Slot before;
  std::vector<float> decoded;
  const auto encode = [&](size_t t, double step) -> absl::StatusOr<uint64_t> {
    before = slots_[t];
    decoded = overlay_->Remove(prepared_.tensors[t].name);
    (*choices)[t].step = static_cast<float>(step);
    NS_RETURN_IF_ERROR(EncodeTensors(*choices));
    return slots_[t].bytes;
  };
  return SpendLeftover(budget, BytesNow(), kClose, std::move(spenders), encode, [&](size_t t, bool stays) {
    if (stays) return;
    slots_[t] = before;
    (*choices)[t] = before.choice;
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
