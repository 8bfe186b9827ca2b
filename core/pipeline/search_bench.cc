#include "core/pipeline/search_bench.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
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

std::vector<Choice> ChoicesIn(const Json& plan) {
  std::vector<Choice> choices;
  for (const Json& tensor : plan.at("tensors")) {
    const double step = tensor.at("step");
    choices.push_back(step > 0 ? Choice{quant::Format::kF32, step} : Choice{*quant::FormatByName(tensor.at("format").get<std::string>()), 0});
  }
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

std::vector<double> LossWeightsIn(const Json& plan) {
  std::vector<double> weights;
  for (const Json& tensor : plan.at("tensors")) weights.push_back(tensor.at("loss_weight"));
  return weights;
}

SearchBench::SearchBench(const Task& task, Prepared prepared, OpenModel open)
    : task_(task), prepared_(std::move(prepared)), open_(std::move(open)), progress_(task.observer) {}

absl::StatusOr<std::unique_ptr<SearchBench>> SearchBench::Open(const Task& task) {
  NS_ASSIGN_OR_RETURN(Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(OpenModel open, OpenAndMap(task.model_dir));
  std::unique_ptr<SearchBench> bench(new SearchBench(task, std::move(prepared), std::move(open)));
  NS_ASSIGN_OR_RETURN(bench->calibrated_, ReadCalibrated(task));
  NS_ASSIGN_OR_RETURN(bench->players_, ReadPlayers(bench->prepared_, bench->open_.model, bench->calibrated_.calibration, task.in_dir));
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(task.in_dir, "plan.json")));
  NS_ASSIGN_OR_RETURN(bench->solved_, ParseJson(text, "plan.json"));
  bench->budget_ = bench->solved_.at("target_bytes").get<uint64_t>() - bench->prepared_.header_bytes;
  bench->windows_ = calibrate::SearchWindows(*bench->calibrated_.moments);
  bench->evaluator_ = std::make_unique<CandidateEvaluator>(bench->open_, bench->prepared_, *bench->calibrated_.moments,
                                                           bench->windows_, task.threads);
  return bench;
}

std::string SearchBench::TextUsed() const {
  std::string source;
  for (const calibrate::TextUsed& text : calibrated_.calibration.texts) {
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
  for (Choice& choice : choices) {
    if (choice.is_coded()) choice.step = static_cast<float>(choice.step * step_factor);
  }
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

absl::StatusOr<SearchBench::Harms> SearchBench::MeasureHarms(const Json& plan) {
  std::vector<evaluate::Window> part = HarmWindows(windows_);
  const uint64_t tokens = evaluate::TokensOf(part);
  std::unique_ptr<CandidateEvaluator> smaller;
  CandidateEvaluator* evaluator = evaluator_.get();
  if (part.size() < windows_.size()) {
    smaller = std::make_unique<CandidateEvaluator>(open_, prepared_, *calibrated_.moments, std::move(part), task_.threads);
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
                        evaluator->KlWithExact(t, progress_.Of(absl::StrCat("context: harm of ", prepared_.tensors[t].name))));
    out.harms[t] = out.kl - without;
  }
  return out;
}

// At the sizes of SOLVE's, with these players.
absl::StatusOr<Json> SearchBench::FrontierOf(const Players& players) const {
  Json frontier = Json::array();
  for (const Json& point : solved_.at("frontier")) {
    NS_ASSIGN_OR_RETURN(const game::Plan plan, players.Solve(point.at("bytes").get<uint64_t>() - prepared_.header_bytes,
                                                        game::kExactWorkOfMany));
    const uint64_t bytes = plan.bytes + prepared_.header_bytes;
    if (!frontier.empty() && frontier.back().at("bytes") == bytes) continue;
    frontier.push_back({{"bytes", bytes}, {"loss", plan.loss}});
  }
  return frontier;
}

absl::StatusOr<Json> SearchBench::PlanOf(const Measured& measured) const {
  const Players players = PlayersWith(measured.weights);
  Json tensors = PlanTensors(players, measured.plan);
  bool coded = false;
  uint64_t bytes = 0;
  double loss = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    Json& tensor = tensors[t];
    if (measured.tried.choices[t].is_coded()) {
      coded = true;
      tensor["step"] = measured.tried.choices[t].step;
      tensor["bytes"] = measured.tried.tensor_bytes[t];
      tensor["distortion"] = measured.tried.distortions[t];
    }
    bytes += tensor.at("bytes").get<uint64_t>();
    loss += measured.weights[t] * tensor.at("distortion").get<double>();
  }
  const double lower_bound = std::min(measured.plan.lower_bound, loss);
  Json path = Json::array();
  for (const game::PriceStep& step : measured.plan.path) {
    path.push_back({{"price", step.price}, {"bytes", step.bytes + prepared_.header_bytes}, {"loss", step.loss}});
  }
  Json plan = solved_;
  plan["file_bytes"] = bytes + prepared_.header_bytes;
  plan["price"] = measured.plan.price;
  plan["loss"] = loss;
  plan["lower_bound"] = lower_bound;
  plan["duality_gap"] = loss - lower_bound;
  plan["proved_best"] = measured.plan.proved_best && !coded;  // settled steps are not the game's
  plan["summary"] = Summarize(plan.at("file_bytes"), plan.at("target_bytes"), prepared_.parameters, measured.plan);
  plan["path"] = std::move(path);
  if (measured.weights != LossWeightsIn(solved_)) {
    NS_ASSIGN_OR_RETURN(plan["frontier"], FrontierOf(players));
  }
  plan["tensors"] = std::move(tensors);
  return plan;
}

}  // namespace nashswarm::pipeline
