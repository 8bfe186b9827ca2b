// SOLVE: the game. Curves and a target in, a plan out. A quality target becomes a size by trying plans out.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/game/game.h"
#include "core/pipeline/candidate.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/players.h"
#include "core/pipeline/quality_search.h"
#include "core/pipeline/search_rounds.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

// The plan is "at the target" when its file is within this share of it.
constexpr double kClose = 0.001;

double BitsPerWeight(uint64_t bytes, uint64_t parameters) { return 8.0 * bytes / parameters; }

absl::Status CheckFeasible(const StageInputs& in, uint64_t target, uint64_t smallest) {
  const Prepared& prepared = in.prepared;
  if (smallest <= target) return absl::OkStatus();
  const double bits = BitsPerWeight(smallest, prepared.parameters);
  // Rounded up to three decimals, so that asking for it works.
  const double ask = std::ceil(bits * 1000) / 1000;
  return MakeError(absl::StatusCode::kInvalidArgument, "TARGET_INFEASIBLE",
                   absl::StrFormat("the target of %d bytes (%.3f bits a weight) is below the smallest %s of this model: "
                                   "%d bytes (%.3f bits a weight, %d bytes of them %s)",
                                   target, BitsPerWeight(target, prepared.parameters), ToAbsl(in.kind->called()), smallest, bits,
                                   prepared.header_bytes, ToAbsl(in.kind->overhead())),
                   absl::StrFormat("nearest feasible target: --bpw %.3f or --size %d", ask, smallest));
}

std::string OptimumText(const game::Plan& plan) {
  if (plan.proved_best) return "proved the best plan of its size";
  return absl::StrFormat("loss at most %.3f %% above the best plan's",
                         plan.loss > 0 ? 100 * plan.duality_gap() / plan.loss : 0.0);
}

std::string Summarize(const game::Plan& plan, uint64_t file_bytes, uint64_t target, uint64_t parameters) {
  const double below = 1 - static_cast<double>(file_bytes) / target;
  std::string where;
  if (plan.nobody_wants_more) {
    where = "every tensor has all the precision it can use";
  } else if (below <= kClose) {
    where = "at the target";
  } else {
    where = "the nearest point where the formats lower the loss any more";
  }
  return absl::StrFormat("%.4f bits a weight, %.3f %% under the target: %s; %s", BitsPerWeight(file_bytes, parameters),
                         100 * below, where, OptimumText(plan));
}

// The equilibrium at sizes from the smallest to the largest, evenly spaced on a logarithmic scale.
absl::StatusOr<std::vector<FrontierPoint>> Frontier(const Players& players, uint64_t header_bytes) {
  constexpr int kPoints = 48;
  uint64_t largest = 0;
  for (const game::Player& player : players.players) {
    uint64_t most = 0;
    for (const game::Strategy& strategy : player.strategies) most = std::max(most, strategy.bytes);
    largest += most;
  }
  const double low = static_cast<double>(players.SmallestBytes()), high = static_cast<double>(largest);
  std::vector<FrontierPoint> frontier;
  for (int i = 0; i < kPoints; ++i) {
    const double bytes = low * std::pow(high / low, static_cast<double>(i) / (kPoints - 1));
    NS_ASSIGN_OR_RETURN(const game::Plan plan, players.Solve(static_cast<uint64_t>(std::ceil(bytes)), game::kExactWorkOfMany));
    if (!frontier.empty() && plan.bytes + header_bytes == frontier.back().bytes) continue;
    frontier.push_back({plan.bytes + header_bytes, plan.loss});
  }
  return frontier;
}

// The smallest plan that meets the quality target, by trying plans out.
absl::StatusOr<QualityOutcome> SolveForQuality(const Task& task, const StageInputs& in, const Players& players,
                                               const std::vector<FrontierPoint>& frontier) {
  const Prepared& prepared = in.prepared;
  CandidateEvaluator evaluator(in, calibrate::EvaluationWindows(*in.calibrated.moments), task.threads);
  const double checkpoint = in.calibrated.calibration.references.at(0).score.perplexity;
  const bool by_perplexity = task.spec.target == Spec::Target::kMaxPerplexityIncrease;
  const auto measure = [&](const game::Plan& plan) -> absl::StatusOr<Trial> {
    NS_ASSIGN_OR_RETURN(const CandidateEvaluator::Tried tried,
                        evaluator.EvaluateAt(plan.bytes, players.ChoicesOf(plan), [&](uint64_t done, uint64_t total) {
                          task.observer->Progress(done, total, "trying a plan");
                          return absl::OkStatus();
                        }));
    const evaluate::Score& score = tried.score;
    Trial trial{plan.bytes + prepared.header_bytes, plan.loss, score.agreement->mean_kl, score.perplexity,
                score.perplexity / checkpoint - 1, false};
    trial.passed = (by_perplexity ? trial.perplexity_change : trial.mean_kl) <= task.spec.quality;
    task.observer->Log("info", absl::StrFormat("tried %.4f bits a weight: perplexity %+.2f %%, KL %.5f: %s",
                                               BitsPerWeight(trial.bytes, prepared.parameters), 100 * trial.perplexity_change,
                                               trial.mean_kl, trial.passed ? "passes" : "fails"));
    return trial;
  };
  const double tolerated = by_perplexity ? std::log1p(task.spec.quality) : task.spec.quality;
  return FindSmallestPassing(frontier, tolerated, by_perplexity, [&](uint64_t bytes) {
    return players.Solve(bytes - prepared.header_bytes);
  }, measure);
}

}  // namespace

absl::StatusOr<Json> SolvePlan(const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageInputs in, StageInputs::Open(task));
  const Prepared& prepared = in.prepared;
  NS_ASSIGN_OR_RETURN(const Players players, ReadPlayers(in, task.in_dir));
  NS_ASSIGN_OR_RETURN(const std::vector<FrontierPoint> frontier, Frontier(players, prepared.header_bytes));

  QualityOutcome outcome;
  std::string summary;
  uint64_t target = 0;
  if (task.spec.has_quality_target()) {
    NS_ASSIGN_OR_RETURN(outcome, SolveForQuality(task, in, players, frontier));
    target = prepared.header_bytes + outcome.plan.bytes;
    summary = absl::StrFormat("%.4f bits a weight: the smallest of %d plans tried that keeps %s; %s",
                              BitsPerWeight(target, prepared.parameters), static_cast<int>(outcome.trials.size()),
                              task.spec.TargetText(), OptimumText(outcome.plan));
  } else {
    target = task.spec.TargetBytes(prepared.parameters);
    NS_RETURN_IF_ERROR(CheckFeasible(in, target, prepared.header_bytes + players.SmallestBytes()));
    NS_ASSIGN_OR_RETURN(outcome.plan, players.Solve(target - prepared.header_bytes));
    summary = Summarize(outcome.plan, prepared.header_bytes + outcome.plan.bytes, target, prepared.parameters);
  }
  task.observer->Log("info", summary);
  const game::Plan& solved = outcome.plan;
  Plan plan;
  plan.target_bytes = target;
  plan.file_bytes = prepared.header_bytes + solved.bytes;
  plan.price = solved.price;
  plan.loss = solved.loss;
  plan.lower_bound = solved.lower_bound;
  plan.duality_gap = solved.duality_gap();
  plan.proved_best = solved.proved_best;
  plan.summary = summary;
  plan.path = PlanPath(solved, prepared.header_bytes);
  plan.frontier = frontier;
  plan.trials = outcome.trials;
  plan.tensors = PlanTensors(players, solved);
  if (ReordersExperts(task.spec, in.open.model)) {
    NS_ASSIGN_OR_RETURN(plan.expert_order, OrdersTogether(in.open.model, *in.calibrated.moments, task.threads));
  }
  NS_RETURN_IF_ERROR(plan.Write(task.out_dir));
  return Json{{"file_bytes", plan.file_bytes}, {"summary", summary}, {"search_rounds", SearchRounds(task.spec, prepared)}};
}

}  // namespace nashswarm::pipeline
