#include "core/route/study.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/route/pages.h"
#include "core/route/tables.h"

namespace nashswarm::route {
namespace {

using report::RoutingPoint;
using report::RoutingReport;

constexpr int kMostDoublings = 12, kBisections = 4;
// Multiples of the bonus in the sweep, and doublings of the least price.
constexpr double kBonusSteps[] = {0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4};
constexpr int kAlphaSteps = 6;

// Three digits: a setting that people can read and give again.
double Readable(double value) {
  double readable = value;
  return absl::SimpleAtod(absl::StrFormat("%.3g", value), &readable) ? readable : value;
}

class Studying {
 public:
  Studying(const RoutedModel& model, const StudyOptions& options, const StudyProgress& progress)
      : model_(model), options_(options), progress_(progress), router_(options.router) {
    router_.game.weights.cache_bonus = options.bonus.value_or(0);
  }

  absl::Status CheckCache() const;
  // The bonus, and the runs on the way there as a sweep.
  absl::Status ChooseBonus(absl::Span<const evaluate::Window> tuning, const RoutedRun& own, RoutingReport* report);
  absl::Status Sweep(absl::Span<const evaluate::Window> held_out, const RoutedRun& own, const RoutedRun& game,
                     RoutingReport* report);

  absl::StatusOr<RoutedRun> Run(absl::Span<const evaluate::Window> windows, const RouterOptions& options,
                                const std::string& what) {
    return model_.Run(
        windows, options, [&](uint64_t done, uint64_t total) { return progress_(what, done, total); },
        options_.threads);
  }
  RouterOptions With(Chooser chooser, bool details) const {
    RouterOptions options = router_;
    options.chooser = chooser;
    options.details = details;
    return options;
  }
  const RouterOptions& router() const { return router_; }

 private:
  absl::StatusOr<RoutingPoint> Try(absl::Span<const evaluate::Window> windows, const RoutedRun& own,
                                   RouterOptions options, double value, const std::string& what);
  // The step that a scale of bonuses or prices begins with: a small part of what a token's similarities differ by.
  double First(double squared_gate, double logit) const {
    return options_.router.game.similarity == routing::Similarity::kLogit ? logit : squared_gate;
  }

  const RoutedModel& model_;
  const StudyOptions& options_;
  const StudyProgress& progress_;
  RouterOptions router_;  // with the bonus once it is known
};

absl::Status Studying::CheckCache() const {
  const std::vector<uint64_t> shares = LayerShares(router_.cache.capacity_bytes, model_.sizes(), model_.layers());
  for (size_t layer = 0; layer < model_.layers(); ++layer) {
    const auto first = model_.sizes().begin() + static_cast<ptrdiff_t>(layer * model_.experts());
    const uint64_t least = *std::min_element(first, first + static_cast<ptrdiff_t>(model_.experts()));
    if (shares[layer] >= least) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "CACHE_TOO_SMALL",
        absl::StrCat("a cache of ", router_.cache.capacity_bytes, " bytes leaves layer ", layer, " ", shares[layer],
                     ", and the smallest of its experts has ", least),
        absl::StrCat("give at least one expert for every layer: ",
                     std::ceil(100.0 / static_cast<double>(model_.experts())), "% of all experts or more"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RoutingPoint> Studying::Try(absl::Span<const evaluate::Window> windows, const RoutedRun& own,
                                           RouterOptions options, double value, const std::string& what) {
  options.details = false;
  options.chooser = Chooser::kGame;
  NS_ASSIGN_OR_RETURN(const RoutedRun run, Run(windows, options, what));
  return PointOf(run, own, value);
}

absl::Status Studying::ChooseBonus(absl::Span<const evaluate::Window> tuning, const RoutedRun& own,
                                   RoutingReport* report) {
  report::RoutingSweep sweep{"cache bonus", "tuning text", {}};
  const double bound = kBoundToUse * options_.max_loss;
  double within = 0, beyond = 0;
  const auto attempt = [&](double bonus) -> absl::Status {
    RouterOptions options = router_;
    options.game.weights.cache_bonus = bonus;
    NS_ASSIGN_OR_RETURN(const RoutingPoint point,
                        Try(tuning, own, options, bonus, absl::StrCat("tuning: cache bonus ", bonus)));
    (point.nll_change <= bound ? within : beyond) = bonus;
    sweep.points.push_back(point);
    return absl::OkStatus();
  };
  NS_RETURN_IF_ERROR(attempt(0));
  double bonus = First(0.02, 0.2);
  for (int i = 0; beyond == 0 && i < kMostDoublings; ++i, bonus *= 2) {
    NS_RETURN_IF_ERROR(attempt(bonus));
  }
  for (int i = 0; beyond > 0 && i < kBisections; ++i) {
    NS_RETURN_IF_ERROR(attempt(within == 0 ? beyond / 2 : Readable(std::sqrt(within * beyond))));
  }
  if (within == 0) {
    report->notes.push_back(
        absl::StrCat("no cache bonus keeps the loss within ", 100 * options_.max_loss,
                     " % on the tuning text: the game plays without one; a greater --max-loss lets it"));
  }
  router_.game.weights.cache_bonus = within;
  std::sort(sweep.points.begin(), sweep.points.end(), [](const auto& a, const auto& b) { return a.value < b.value; });
  for (RoutingPoint& point : sweep.points) point.chosen = point.value == within;
  report->sweeps.push_back(std::move(sweep));
  return absl::OkStatus();
}

absl::Status Studying::Sweep(absl::Span<const evaluate::Window> held_out, const RoutedRun& own, const RoutedRun& game,
                             RoutingReport* report) {
  const routing::Weights& weights = router_.game.weights;
  report::RoutingSweep bonuses{"cache bonus", "held-out text", {}}, prices{"alpha", "held-out text", {}};
  const double unit = weights.cache_bonus > 0 ? weights.cache_bonus : First(0.05, 0.5);
  for (const double step : kBonusSteps) {
    RouterOptions options = router_;
    const double bonus = options.game.weights.cache_bonus = Readable(step * unit);
    if (bonus == weights.cache_bonus) {
      bonuses.points.push_back(PointOf(game, own, bonus));
      bonuses.points.back().chosen = true;
      continue;
    }
    NS_ASSIGN_OR_RETURN(const RoutingPoint point,
                        Try(held_out, own, options, bonus, absl::StrCat("sweep: cache bonus ", bonus)));
    bonuses.points.push_back(point);
  }
  for (int step = 0; step <= kAlphaSteps; ++step) {
    RouterOptions options = router_;
    options.game.weights.cache_bonus = 0;
    const double alpha = options.game.weights.alpha = step == 0 ? 0 : std::ldexp(First(0.01, 0.2), step - 1);
    NS_ASSIGN_OR_RETURN(RoutingPoint point, Try(held_out, own, options, alpha, absl::StrCat("sweep: alpha ", alpha)));
    point.chosen = weights.cache_bonus == 0 && alpha == weights.alpha;
    prices.points.push_back(point);
  }
  report->sweeps.push_back(std::move(bonuses));
  report->sweeps.push_back(std::move(prices));
  return absl::OkStatus();
}

report::RoutingSettings SettingsOf(const RoutedModel& model, const StudyOptions& options, const RouterOptions& router) {
  const routing::Weights& weights = router.game.weights;
  report::RoutingSettings settings;
  settings.similarity = options.router.game.similarity == routing::Similarity::kLogit ? "logit" : "gate-squared";
  settings.alpha = weights.alpha;
  settings.separation = weights.separation;
  settings.threshold = weights.threshold;
  settings.alignment = weights.alignment;
  settings.cohesion = weights.cohesion;
  settings.cache_bonus = weights.cache_bonus;
  settings.bonus_was_chosen = !options.bonus.has_value();
  settings.max_loss = options.max_loss;
  settings.group = static_cast<int>(std::min(model.experts(), std::max(router.game.group, 2 * model.used())));
  settings.batch = router.batch;
  settings.policy = std::string(expert_cache::PolicyName(router.cache.policy));
  settings.cache_bytes = options.router.cache.capacity_bytes;
  for (const uint64_t size : model.sizes()) settings.expert_bytes += size;
  const routing::LossLambdas& l = options.lambdas;
  settings.lambdas = {l.balance, l.cached, l.separation, l.alignment, l.cohesion, l.nash};
  return settings;
}

}  // namespace

absl::StatusOr<Findings> Study(const RoutedModel& model, absl::Span<const evaluate::Window> windows,
                               const StudyOptions& options, const StudyProgress& progress) {
  if (windows.size() < 2) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TEXT_TOO_SHORT",
                     "the text fills one window, and a part of it must tune what the rest measures",
                     "give a longer text, or a smaller --ctx");
  }
  Studying study(model, options, progress);
  NS_RETURN_IF_ERROR(study.CheckCache());
  const auto tuning = windows.subspan(0, std::max<size_t>(1, windows.size() / kTuningPart));
  const auto held_out = windows.subspan(tuning.size());

  Findings findings;
  RoutingReport& report = findings.report;
  report.experts = static_cast<int>(model.experts());
  report.used = static_cast<int>(model.used());
  report.tokens = evaluate::TokensOf(held_out);
  report.tuning_tokens = evaluate::TokensOf(tuning);
  report.context = windows[0].tokens.size();
  NS_ASSIGN_OR_RETURN(const RoutedRun tuning_own,
                      study.Run(tuning, study.With(Chooser::kModel, true), "tuning: the model's own router"));
  NS_ASSIGN_OR_RETURN(findings.together, OrderByUse(model.TraceOf(tuning_own)));
  if (!options.bonus) NS_RETURN_IF_ERROR(study.ChooseBonus(tuning, tuning_own, &report));
  report.settings = SettingsOf(model, options, study.router());

  NS_ASSIGN_OR_RETURN(const RoutedRun own,
                      study.Run(held_out, study.With(Chooser::kModel, true), "the model's own router"));
  NS_ASSIGN_OR_RETURN(const RoutedRun game, study.Run(held_out, study.With(Chooser::kGame, true), "the game"));
  report.scored = own.score.tokens;
  report.routers = {RowOf("model", own, own, options.lambdas), RowOf("game", game, own, options.lambdas)};
  if (!options.bonus && report.routers[1].nll_change > options.max_loss) {
    report.notes.push_back(
        absl::StrFormat("on the held-out text the loss rises by %.2f %%, more than the %g %% that the bonus was chosen "
                        "for: a longer text "
                        "tunes better, and a lower --alpha or --cache-bonus costs less",
                        100 * report.routers[1].nll_change, 100 * options.max_loss));
  }
  report.convergence = ConvergenceOf(game);
  findings.own_trace = model.TraceOf(own);
  const expert_cache::Trace game_trace = model.TraceOf(game);
  NS_ASSIGN_OR_RETURN(report.layers, LayersOf(own, findings.own_trace, game, game_trace));
  NS_ASSIGN_OR_RETURN(report.policies, PoliciesOf(findings.own_trace, game_trace, options.router.cache));
  if (options.sweep) NS_RETURN_IF_ERROR(study.Sweep(held_out, own, game, &report));
  return findings;
}

}  // namespace nashswarm::route
