#include "core/pipeline/search_bench.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

// Harm is measured once a tensor, so on a part of the windows: the differences it makes are far above their noise.
constexpr uint64_t kHarmTokens = 4096;

// Every n-th window, for about kHarmTokens tokens.
std::vector<evaluate::Window> HarmWindows(const std::vector<evaluate::Window>& windows) {
  const uint64_t every = std::max<uint64_t>(1, evaluate::TokensOf(windows) / kHarmTokens);
  std::vector<evaluate::Window> part;
  for (size_t w = 0; w < windows.size(); w += every) part.push_back(windows[w]);
  return part;
}

std::vector<Choice> ChoicesIn(const Plan& plan) {
  std::vector<Choice> choices;
  for (const PlannedTensor& tensor : plan.tensors) choices.push_back(tensor.choice);
  return choices;
}

std::string Summarize(uint64_t file_bytes, uint64_t target, uint64_t parameters, const game::Plan& plan) {
  const std::string size = absl::StrFormat("%.4f bits a weight, %.3f %% under the target", 8.0 * file_bytes / parameters,
                                           100 * (1 - static_cast<double>(file_bytes) / target));
  if (plan.nobody_wants_more) return size + ": every tensor has all the precision it can use";
  return size + absl::StrFormat(": predicted loss at most %.3f %% above the best plan's",
                                plan.loss > 0 ? 100 * plan.duality_gap() / plan.loss : 0.0);
}

}  // namespace

evaluate::Progress SearchProgress::Of(std::string what) {
  return [this, what = std::move(what)](uint64_t done, uint64_t) {
    if (done <= last_) before_ += last_;
    last_ = done;
    observer_->Progress(std::min(before_ + done, total_), total_, what);
    return absl::OkStatus();
  };
}

SearchBench::SearchBench(const Task& task, StageInputs in) : task_(task), in_(std::move(in)), progress_(task.observer) {}

absl::StatusOr<std::unique_ptr<SearchBench>> SearchBench::Open(const Task& task) {
  NS_ASSIGN_OR_RETURN(StageInputs in, StageInputs::Open(task));
  std::unique_ptr<SearchBench> bench(new SearchBench(task, std::move(in)));
  NS_ASSIGN_OR_RETURN(bench->players_, ReadPlayers(bench->in_, task.in_dir));
  NS_ASSIGN_OR_RETURN(bench->solved_, Plan::Read(task.in_dir, bench->in_.prepared));
  bench->budget_ = bench->solved_.target_bytes - bench->in_.prepared.header_bytes;
  bench->windows_ = calibrate::SearchWindows(*bench->in_.calibrated.moments);
  bench->evaluator_ = std::make_unique<CandidateEvaluator>(bench->in_, bench->windows_, task.threads);
  return bench;
}

std::string SearchBench::TextUsed() const {
  std::string source;
  for (const calibrate::TextUsed& text : in_.calibrated.calibration.texts) {
    if (text.purpose == "calibration") source = text.source;
  }
  return absl::StrFormat("%d windows of the calibration text (%s), %d tokens, which nothing else was fitted to", windows_.size(), source,
                         evaluate::TokensOf(windows_));
}

Players SearchBench::PlayersWith(const std::vector<double>& weights) const {
  Players players = players_;
  for (size_t t = 0; t < players.players.size(); ++t) players.players[t].loss_weight = weights[t];
  return players;
}

absl::StatusOr<game::Plan> SearchBench::Solve(const std::vector<double>& weights) const {
  return PlayersWith(weights).Solve(budget_);
}

std::vector<Choice> SearchBench::ChoicesOf(const game::Plan& plan, double step_factor) const {
  std::vector<Choice> choices = players_.ChoicesOf(plan);
  for (Choice& choice : choices) choice = choice.Scaled(step_factor);
  return choices;
}

absl::StatusOr<Measured> SearchBench::Measure(const std::vector<double>& weights, double step_factor, const std::string& what) {
  Measured measured;
  measured.weights = weights;
  NS_ASSIGN_OR_RETURN(measured.plan, Solve(weights));
  // Where the budget is no limit, spending it would only make a larger file.
  const uint64_t budget = measured.plan.nobody_wants_more ? measured.plan.bytes : budget_;
  NS_ASSIGN_OR_RETURN(measured.tried, evaluator_->EvaluateAt(budget, ChoicesOf(measured.plan, step_factor), progress_.Of(what)));
  measured.step_factor = step_factor * measured.tried.step_factor;
  return measured;
}

absl::StatusOr<double> SearchBench::Guess(const std::vector<double>& weights, double step_factor, double price, const std::string& what) {
  NS_ASSIGN_OR_RETURN(const game::Plan plan, Solve(weights));
  NS_ASSIGN_OR_RETURN(const CandidateEvaluator::Tried tried, evaluator_->Evaluate(ChoicesOf(plan, step_factor), progress_.Of(what)));
  return tried.mean_kl() + price * (static_cast<double>(tried.bytes) - static_cast<double>(budget_));
}

absl::StatusOr<SearchBench::Harms> SearchBench::MeasureHarms(const Plan& plan) {
  std::vector<evaluate::Window> part = HarmWindows(windows_);
  const uint64_t tokens = evaluate::TokensOf(part);
  std::unique_ptr<CandidateEvaluator> smaller;
  CandidateEvaluator* evaluator = evaluator_.get();
  if (part.size() < windows_.size()) {
    smaller = std::make_unique<CandidateEvaluator>(in_, std::move(part), task_.threads);
    evaluator = smaller.get();
  }
  const uint64_t checkpoint = smaller != nullptr ? 1 : 0;
  progress_.Expect(tokens * (1 + checkpoint + static_cast<uint64_t>(std::count_if(players_.choices.begin(), players_.choices.end(),
                                                                                  [](const auto& choices) { return choices.size() > 1; }))));
  NS_ASSIGN_OR_RETURN(const CandidateEvaluator::Tried all, evaluator->Evaluate(ChoicesIn(plan), progress_.Of("context: all tensors")));
  Harms out{all.mean_kl(), std::vector<double>(players_.players.size(), 0)};
  for (size_t t = 0; t < out.harms.size(); ++t) {
    if (!HasChoice(t)) continue;
    NS_ASSIGN_OR_RETURN(const double without,
                        evaluator->KlWithExact(t, progress_.Of(absl::StrCat("context: harm of ", in_.prepared.tensors[t].name))));
    out.harms[t] = out.kl - without;
  }
  return out;
}

// At the sizes of SOLVE's, with these players.
absl::StatusOr<std::vector<FrontierPoint>> SearchBench::FrontierOf(const Players& players) const {
  std::vector<FrontierPoint> frontier;
  for (const FrontierPoint& point : solved_.frontier) {
    NS_ASSIGN_OR_RETURN(const game::Plan plan, players.Solve(point.bytes - in_.prepared.header_bytes, game::kExactWorkOfMany));
    const uint64_t bytes = plan.bytes + in_.prepared.header_bytes;
    if (!frontier.empty() && frontier.back().bytes == bytes) continue;
    frontier.push_back({bytes, plan.loss});
  }
  return frontier;
}

absl::StatusOr<Plan> SearchBench::PlanOf(const Measured& measured) const {
  const Players players = PlayersWith(measured.weights);
  Plan plan = solved_;
  plan.tensors = PlanTensors(players, measured.plan);
  bool settled = false;  // steps, which are then not the game's
  uint64_t bytes = 0;
  double loss = 0;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    PlannedTensor& tensor = plan.tensors[t];
    if (const std::optional<double>& distortion = measured.tried.distortions[t]) {
      settled = true;
      tensor = {measured.tried.choices[t], measured.tried.tensor_bytes[t], *distortion, tensor.loss_weight};
    }
    bytes += tensor.bytes;
    loss += measured.weights[t] * tensor.distortion;
  }
  plan.file_bytes = bytes + in_.prepared.header_bytes;
  plan.price = measured.plan.price;
  plan.loss = loss;
  plan.lower_bound = std::min(measured.plan.lower_bound, loss);
  plan.duality_gap = loss - plan.lower_bound;
  plan.proved_best = measured.plan.proved_best && !settled;
  plan.summary = Summarize(plan.file_bytes, plan.target_bytes, in_.prepared.parameters, measured.plan);
  plan.path = PlanPath(measured.plan, in_.prepared.header_bytes);
  if (measured.weights != solved_.LossWeights()) {
    NS_ASSIGN_OR_RETURN(plan.frontier, FrontierOf(players));
  }
  return plan;
}

}  // namespace nashswarm::pipeline
