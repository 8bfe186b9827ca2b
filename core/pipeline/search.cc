// SEARCH: rounds of best response in context, then of the flock. A plan replaces the one kept so far only when it was made to
// the size, encoded, run, and found better on text that nothing was fitted to.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/game/swarm.h"
#include "core/pipeline/search_bench.h"
#include "core/pipeline/search_moves.h"
#include "core/pipeline/search_state.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

using Phase = SearchState::Phase;

class SearchRound {
 public:
  SearchRound(const Task& task, SearchBench& bench) : task_(task), bench_(bench), tokens_(evaluate::TokensOf(bench.windows())) {
    for (size_t t = 0; t < bench.prepared().tensors.size(); ++t) has_choice_.push_back(bench.HasChoice(t));
    coordinates_ = CoordinatesOf(bench.prepared(), bench.model(), has_choice_);
  }

  absl::Status Run() {
    bench_.progress().Expect(tokens_);  // the checkpoint
    if (task_.shard == 0) {
      NS_RETURN_IF_ERROR(Begin());
    } else {
      NS_RETURN_IF_ERROR(Continue());
    }
    if (state_.phase == Phase::kContext) {
      NS_RETURN_IF_ERROR(RespondInContext());
    } else if (state_.phase == Phase::kSwarm) {
      NS_RETURN_IF_ERROR(Fly());
    }
    ++state_.rounds;
    state_.phase = NextPhase();
    Json ablation = Json::array();
    if (done()) {
      NS_ASSIGN_OR_RETURN(ablation, Ablation());
    }
    plan_["summary"] = absl::StrCat(state_.plan_summary, Told());
    plan_["search"] = {{"text", bench_.TextUsed()}, {"tokens", Scored()}, {"trace", trace_}, {"ablation", std::move(ablation)}};
    return absl::OkStatus();
  }

  bool done() const { return state_.phase == Phase::kDone; }
  double kl() const { return state_.kl; }
  Json ToJson() const { return {{"plan", plan_}, {"state", pipeline::ToJson(state_)}, {"trace", trace_}}; }

 private:
  absl::StatusOr<Measured> Measure(const std::vector<double>& weights, const std::string& what) {
    bench_.progress().Expect(tokens_);
    return bench_.Measure(weights, state_.step_factor, what);
  }

  // The game's own plan, made to the size: what the search must beat.
  absl::Status Begin() {
    NS_ASSIGN_OR_RETURN(const Measured equilibrium, Measure(LossWeightsIn(bench_.solved()), "the equilibrium"));
    NS_RETURN_IF_ERROR(Keep(equilibrium));
    state_.equilibrium_kl = state_.context_kl = state_.kl;
    state_.equilibrium_bytes = plan_.at("file_bytes");
    state_.phase = ContextRounds(task_.spec, bench_.prepared()) > 0 ? Phase::kContext : Phase::kSwarm;
    Trace("equilibrium", 1, state_.kl, true);
    return absl::OkStatus();
  }

  absl::Status Continue() {
    const std::string file = SearchFile(task_.shard - 1);
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(task_.in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    plan_ = json.at("plan");
    state_ = SearchStateOf(json.at("state"));
    trace_ = json.at("trace");
    return absl::OkStatus();
  }

  absl::Status RespondInContext() {
    NS_ASSIGN_OR_RETURN(const SearchBench::Harms harms, bench_.MeasureHarms(plan_));
    std::vector<double> distortions;
    for (const Json& tensor : plan_.at("tensors")) distortions.push_back(tensor.at("distortion"));
    const std::vector<double> moved = MoveTowardHarm(LossWeightsIn(plan_), distortions, harms.harms, harms.kl, has_choice_);
    NS_ASSIGN_OR_RETURN(const Measured measured, Measure(moved, "context: the response"));
    ++state_.context_tried;
    const bool better = measured.tried.mean_kl() < state_.kl;
    if (better) {
      NS_RETURN_IF_ERROR(Keep(measured));
      ++state_.context_kept;
    }
    state_.context_kl = state_.kl;
    Trace("context", 1, measured.tried.mean_kl(), better);
    return absl::OkStatus();
  }

  game::SwarmOptions FlockOptions() const {
    game::SwarmOptions options;
    options.birds = FlockSize(task_.spec);
    options.dimensions = coordinates_.count;
    options.seed = task_.spec.seed;
    return options;
  }

  absl::Status Fly() {
    const auto start = std::chrono::steady_clock::now();
    game::Swarm flock(FlockOptions());
    if (state_.base_weights.empty()) {
      state_.base_weights = LossWeightsIn(plan_);
    } else {
      NS_ASSIGN_OR_RETURN(flock, game::Swarm::Resume(FlockOptions(), state_.birds));
    }
    const int before = state_.evaluations;
    NS_RETURN_IF_ERROR(TryBirds(start, &flock));
    state_.birds = flock.state();
    const int plans = state_.evaluations - before;
    // At the origin it is the plan the flock set out from.
    const std::vector<double>& best = flock.best();
    const bool is_new = best != state_.settled && std::any_of(best.begin(), best.end(), [](double x) { return x != 0; });
    state_.settled = best;
    bool better = false;
    double tried = std::numeric_limits<double>::quiet_NaN();
    if (is_new) {
      NS_ASSIGN_OR_RETURN(const Measured measured, Measure(WeightsAt(state_.base_weights, coordinates_, best), "swarm: the best plan"));
      tried = measured.tried.mean_kl();
      better = tried < state_.kl;
      if (better) NS_RETURN_IF_ERROR(Keep(measured));
    }
    Trace("swarm", plans, tried, better);
    if (task_.spec.search.swarm_seconds > 0) state_.seconds += Seconds(start);
    return absl::OkStatus();
  }

  absl::Status TryBirds(std::chrono::steady_clock::time_point start, game::Swarm* flock) {
    const Spec::Search& asked = task_.spec.search;
    const double price = plan_.at("price");
    std::vector<double> values(flock->Ask().size(), std::numeric_limits<double>::infinity());
    const size_t birds = std::min(values.size(), static_cast<size_t>(asked.swarm_evaluations - state_.evaluations));
    bench_.progress().Expect(birds * tokens_);
    for (size_t bird = 0; bird < birds; ++bird) {
      if (asked.swarm_seconds > 0 && state_.seconds + Seconds(start) >= asked.swarm_seconds) break;
      const std::vector<double> weights = WeightsAt(state_.base_weights, coordinates_, flock->Ask()[bird]);
      const std::string what = absl::StrCat("swarm: plan ", state_.evaluations + 1, " of ", asked.swarm_evaluations);
      NS_ASSIGN_OR_RETURN(values[bird], bench_.Guess(weights, state_.step_factor, price, what));
      ++state_.evaluations;
    }
    flock->Tell(values);
    return absl::OkStatus();
  }

  static double Seconds(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  absl::Status Keep(const Measured& measured) {
    NS_ASSIGN_OR_RETURN(plan_, bench_.PlanOf(measured));
    state_.kl = measured.tried.mean_kl();
    state_.plan_summary = plan_.at("summary");
    state_.step_factor = measured.step_factor;
    return absl::OkStatus();
  }

  Phase NextPhase() const {
    const Spec::Search& asked = task_.spec.search;
    if (task_.shard + 1 >= SearchRounds(task_.spec, bench_.prepared())) return Phase::kDone;
    const bool went_well = state_.context_kept == state_.context_tried;
    if (state_.phase == Phase::kContext && went_well && state_.context_tried < ContextRounds(task_.spec, bench_.prepared())) {
      return Phase::kContext;
    }
    const bool in_time = asked.swarm_seconds <= 0 || state_.seconds < asked.swarm_seconds;
    return state_.evaluations < asked.swarm_evaluations && in_time ? Phase::kSwarm : Phase::kDone;
  }

  void Trace(const std::string& step, int plans, double tried, bool kept) {
    Json entry = {{"round", task_.shard}, {"step", step}, {"plans", plans}, {"mean_kl", state_.kl}, {"kept", kept}};
    if (std::isfinite(tried)) entry["tried_kl"] = tried;
    trace_.push_back(std::move(entry));
    const std::string found = std::isfinite(tried) ? absl::StrFormat("KL %.5f: %s", tried, kept ? "kept" : "not kept") : "nothing to measure";
    task_.observer->Log("info", absl::StrFormat("search round %d, %s, %s", task_.shard, step, found));
  }

  // What the search did, for people.
  std::string Told() const {
    std::string told;
    if (state_.context_kept > 0) {
      told += absl::StrFormat("; best response in context lowered the measured KL from %.5f to %.5f in %d %s", state_.equilibrium_kl,
                              state_.context_kl, state_.context_kept, state_.context_kept == 1 ? "round" : "rounds");
    } else if (state_.context_tried > 0) {
      told += "; best response in context: no lower measured KL";
    }
    if (state_.evaluations > 0) {
      told += absl::StrFormat("; swarm of %d plans: ", state_.evaluations);
      told += state_.kl < state_.context_kl ? absl::StrFormat("measured KL from %.5f to %.5f", state_.context_kl, state_.kl)
                                            : std::string("no better one");
    }
    return told;
  }

  uint64_t Scored() const {
    uint64_t scored = 0;
    for (const evaluate::Window& window : bench_.windows()) scored += window.scored();
    return scored;
  }

  // What each part is worth, at the same size on the same text. "swarm only" is what the flock found, on weights of which the
  // game knows nothing.
  absl::StatusOr<Json> Ablation() {
    std::vector<double> by_size;
    for (const PreparedTensor& tensor : bench_.prepared().tensors) by_size.push_back(static_cast<double>(tensor.weights()));
    Json out = Json::array();
    const auto add = [&](const char* name, uint64_t bytes, double kl) {
      out.push_back({{"name", name}, {"bytes", bytes}, {"mean_kl", kl}});
    };
    const auto measure = [&](const char* name, const std::vector<double>& weights) -> absl::Status {
      NS_ASSIGN_OR_RETURN(const Measured measured, Measure(weights, absl::StrCat("ablation: ", name)));
      add(name, measured.tried.bytes + bench_.prepared().header_bytes, measured.tried.mean_kl());
      return absl::OkStatus();
    };
    NS_RETURN_IF_ERROR(measure("uniform", by_size));
    add("game", state_.equilibrium_bytes, state_.equilibrium_kl);
    if (!state_.settled.empty()) {
      NS_RETURN_IF_ERROR(measure("swarm only", WeightsAt(by_size, coordinates_, state_.settled)));
    }
    add("both", plan_.at("file_bytes"), state_.kl);
    return out;
  }

  const Task& task_;
  SearchBench& bench_;
  uint64_t tokens_;
  std::vector<bool> has_choice_;
  Coordinates coordinates_;
  Json plan_, trace_ = Json::array();
  SearchState state_;
};

absl::Status Write(const Task& task, const Json& json) {
  return WriteFileUnsynced(JoinPath(task.out_dir, SearchFile(task.shard)), json.dump(1));
}

}  // namespace

absl::StatusOr<Json> Search(const Task& task) {
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<SearchBench> bench, SearchBench::Open(task));
  if (bench->windows().empty()) {
    task.observer->Log("info", "no search: the calibration text is too short to set some of it aside to choose plans by");
    SearchState state;
    state.phase = Phase::kDone;
    NS_RETURN_IF_ERROR(Write(task, {{"plan", bench->solved()}, {"state", ToJson(state)}, {"trace", Json::array()}}));
    return Json{{"done", true}};
  }
  SearchRound round(task, *bench);
  NS_RETURN_IF_ERROR(round.Run());
  NS_RETURN_IF_ERROR(Write(task, round.ToJson()));
  return Json{{"done", round.done()}, {"mean_kl", round.kl()}};
}

}  // namespace nashswarm::pipeline
