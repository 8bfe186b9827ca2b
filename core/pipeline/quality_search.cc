#include "core/pipeline/quality_search.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

constexpr int kMaxTrials = 10;
// Sizes nearer to each other than this are the same to a user.
constexpr double kClose = 0.005;
constexpr double kStep = 0.9 * kClose;

// The size at which the frontier predicts `loss`, between its points on logarithmic scales.
double SizeForLoss(const std::vector<FrontierPoint>& frontier, double loss) {
  for (size_t i = 1; i < frontier.size(); ++i) {
    const FrontierPoint &a = frontier[i - 1], &b = frontier[i];
    if (b.loss > loss) continue;
    if (a.loss <= loss || b.loss <= 0) return static_cast<double>(a.loss <= loss ? a.bytes : b.bytes);
    const double share = (std::log(a.loss) - std::log(loss)) / (std::log(a.loss) - std::log(b.loss));
    return std::exp(std::log(static_cast<double>(a.bytes)) * (1 - share) + std::log(static_cast<double>(b.bytes)) * share);
  }
  return static_cast<double>(frontier.back().bytes);
}

// What the limit is compared with; perplexity may fall by chance, and then the loss is none.
double MeasuredLoss(const Trial& trial, bool by_perplexity) {
  return by_perplexity ? std::log1p(trial.perplexity_change) : trial.mean_kl;
}

class Search {
 public:
  Search(const std::vector<FrontierPoint>& frontier, double tolerated, bool by_perplexity)
      : frontier_(frontier), tolerated_(tolerated), by_perplexity_(by_perplexity) {}

  // The next file size to try; nullopt when done.
  std::optional<uint64_t> Next() const {
    if (outcome_.trials.size() >= kMaxTrials) return std::nullopt;
    const double low = static_cast<double>(fails_ > 0 ? fails_ : frontier_.front().bytes),
                 high = static_cast<double>(passes_ > 0 ? passes_ : frontier_.back().bytes);
    if (passes_ > 0 && high - low < kClose * high) return std::nullopt;
    double guess = SizeForLoss(frontier_, tolerated_ / correction_);
    // A bracket that one side alone keeps moving is halved instead.
    if (fails_ > 0 && passes_ > 0 && same_side_ > 1) guess = std::sqrt(low * high);
    // Where the curve crosses the limit, a step that is just not too small shows on which side of it the last trial was.
    if (passes_ > 0) guess = std::min(guess, high * (1 - kStep));
    if (fails_ > 0) guess = std::max(guess, low * (1 + kStep));
    guess = std::clamp(guess, low, high);
    if (Tried(guess)) return std::nullopt;
    return static_cast<uint64_t>(std::ceil(guess));
  }

  void Add(const Trial& trial, const game::Plan& plan) {
    outcome_.trials.push_back(trial);
    const double measured = MeasuredLoss(trial, by_perplexity_);
    if (measured > 0 && trial.predicted_loss > 0) correction_ = measured / trial.predicted_loss;
    same_side_ = outcome_.trials.size() > 1 && trial.passed == last_passed_ ? same_side_ + 1 : 0;
    last_passed_ = trial.passed;
    if (trial.passed && (passes_ == 0 || trial.bytes < passes_)) {
      passes_ = trial.bytes;
      outcome_.plan = plan;
    }
    if (!trial.passed) fails_ = std::max(fails_, trial.bytes);
  }

  bool found() const { return passes_ > 0; }
  QualityOutcome Take() { return std::move(outcome_); }

 private:
  bool Tried(double bytes) const {
    return std::any_of(outcome_.trials.begin(), outcome_.trials.end(), [&](const Trial& trial) {
      return std::abs(static_cast<double>(trial.bytes) - bytes) < 1;
    });
  }

  const std::vector<FrontierPoint>& frontier_;
  double tolerated_;
  bool by_perplexity_;
  double correction_ = 1;  // measured loss over predicted, of the last trial
  int same_side_ = 0;
  bool last_passed_ = false;
  // Sizes: the smallest that passed, the largest that failed; 0 while there is none.
  uint64_t passes_ = 0, fails_ = 0;
  QualityOutcome outcome_;
};

}  // namespace

absl::StatusOr<QualityOutcome> FindSmallestPassing(
    const std::vector<FrontierPoint>& frontier, double tolerated, bool by_perplexity,
    const std::function<absl::StatusOr<game::Plan>(uint64_t bytes)>& solve,
    const std::function<absl::StatusOr<Trial>(const game::Plan&)>& measure) {
  Search search(frontier, tolerated, by_perplexity);
  while (const std::optional<uint64_t> bytes = search.Next()) {
    NS_ASSIGN_OR_RETURN(const game::Plan plan, solve(*bytes));
    NS_ASSIGN_OR_RETURN(const Trial trial, measure(plan));
    search.Add(trial, plan);
  }
  if (search.found()) return search.Take();
  const Trial best = search.Take().trials.back();
  return MakeError(absl::StatusCode::kInvalidArgument, "QUALITY_UNREACHABLE",
                   absl::StrFormat("no plan meets the quality target: the last of %d bytes has a perplexity %+.3f %% off and a "
                                   "KL divergence of %.6f",
                                   best.bytes, 100 * best.perplexity_change, best.mean_kl),
                   "allow a larger loss, or keep some tensors as they are: --rule 'PATTERN=keep'");
}

}  // namespace nashswarm::pipeline
