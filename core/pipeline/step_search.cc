#include "core/pipeline/step_search.h"

#include <algorithm>
#include <cmath>

#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

constexpr size_t kSpenders = 6;
// A tensor strays no farther from its place in the equilibrium than this, in octaves of its step.
constexpr double kMostFiner = 0.25;
// Factors nearer to each other than this give the same bytes but for noise.
constexpr double kSameFactor = 1e-4;

}  // namespace

StepSearch::StepSearch(uint64_t budget, uint64_t weights, double close, int tries)
    : budget_(static_cast<double>(budget)), weights_(static_cast<double>(weights)), close_(close), tries_(tries) {}

bool StepSearch::Took(uint64_t bytes) {
  --tries_;
  const auto took = static_cast<double>(bytes);
  const bool fits = took <= budget_, best = fits && bytes > coarse_bytes_;
  if (best) {
    coarse_ = at_;
    coarse_bytes_ = bytes;
  } else if (!fits && (fine_bytes_ == 0 || bytes < fine_bytes_)) {
    fine_ = at_;
    fine_bytes_ = bytes;
  }
  const bool bracketed = fine_bytes_ > 0 && coarse_bytes_ > 0;
  done_ = (fits && took >= (1 - close_) * budget_) || (tries_ <= 0 && coarse_bytes_ > 0) ||
          (bracketed && std::abs(fine_ - coarse_) < kSameFactor);
  const double aim = (1 - close_ / 2) * budget_;
  if (bracketed) {
    const double share = (static_cast<double>(fine_bytes_) - aim) / static_cast<double>(fine_bytes_ - coarse_bytes_);
    at_ = fine_ + std::clamp(share, 0.05, 0.95) * (coarse_ - fine_);
  } else {
    // A bit a weight is an octave of the step, about.
    at_ += 1.1 * 8.0 * (took - aim) / weights_ + (fits ? -0.0005 : 0.0005);
  }
  return best;
}

absl::Status SpendLeftover(uint64_t budget, uint64_t bytes, double close, std::vector<Spender> spenders,
                           const std::function<absl::StatusOr<uint64_t>(size_t tensor, double step)>& encode,
                           const std::function<void(size_t tensor, bool stays)>& settle) {
  std::stable_sort(spenders.begin(), spenders.end(), [](const Spender& a, const Spender& b) { return a.weights > b.weights; });
  if (spenders.size() > kSpenders) spenders.resize(kSpenders);
  for (const Spender& spender : spenders) {
    const uint64_t leftover = budget - bytes;
    if (static_cast<double>(leftover) <= close * static_cast<double>(budget)) break;
    // Not all the way, since one byte too many is none at all.
    const double octaves = 8.0 * 0.9 * static_cast<double>(leftover) / static_cast<double>(spender.weights);
    NS_ASSIGN_OR_RETURN(const uint64_t made, encode(spender.tensor, spender.step * std::exp2(-std::min(octaves, kMostFiner))));
    const uint64_t after = bytes - spender.bytes + made;
    const bool stays = after <= budget && after > bytes;
    if (stays) bytes = after;
    settle(spender.tensor, stays);
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::pipeline
