// SEARCH: rounds of best response in context, then of the flock. A plan replaces the one kept so far only when it was made to
// the size, encoded, run, and found better on text that nothing was fitted to.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/game/swarm.h"
#include "core/pipeline/files/search_round.h"
#include "core/pipeline/search_bench.h"
#include "core/pipeline/search_moves.h"
#include "core/pipeline/search_rounds.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

using Phase = SearchState::Phase;

class Searching {
 public:
  Searching(const Task& task, SearchBench& bench) : task_(task), bench_(bench), tokens_(evaluate::TokensOf(bench.windows())) {
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
    std::vector<Ablation> ablation;
    if (done()) {
      NS_ASSIGN_OR_RETURN(ablation, Ablate());
    }
    plan_.summary = absl::StrCat(state_.plan_summary, Told());
    plan_.search = SearchTrace{bench_.TextUsed(), Scored(), trace_, std::move(ablation)};
    return absl::OkStatus();
  }

  bool done() const { return state_.phase == Phase::kDone; }
  double kl() const { return state_.kl; }
  SearchRound Take() { return {std::move(plan_), std::move(state_), std::move(trace_)}; }

 private:
  absl::StatusOr<Measured> Measure(const std::vector<double>& weights, const std::string& what) {
    bench_.progress().Expect(tokens_);
    return bench_.Measure(weights, state_.step_factor, what);
  }

  // The game's own plan, made to the size: what the search must beat.
  absl::Status Begin() {
    NS_ASSIGN_OR_RETURN(const Measured equilibrium, Measure(bench_.solved().LossWeights(), "the equilibrium"));
    NS_RETURN_IF_ERROR(Keep(equilibrium));
    state_.equilibrium_kl = state_.context_kl = state_.kl;
    state_.equilibrium_bytes = plan_.file_bytes;
    state_.phase = ContextRounds(task_.spec, bench_.prepared()) > 0 ? Phase::kContext : Phase::kSwarm;
    Trace("equilibrium", 1, state_.kl, true);
    return absl::OkStatus();
  }

  absl::Status Continue() {
    NS_ASSIGN_OR_RETURN(SearchRound before, SearchRound::Read(task_.in_dir, task_.shard - 1, bench_.prepared()));
    plan_ = std::move(before.plan);
    state_ = std::move(before.state);
    trace_ = std::move(before.trace);
    return absl::OkStatus();
  }

  absl::Status RespondInContext() {
    NS_ASSIGN_OR_RETURN(const SearchBench::Harms harms, bench_.MeasureHarms(plan_));
    std::vector<double> distortions;
    for (const PlannedTensor& tensor : plan_.tensors) distortions.push_back(tensor.distortion);
    const std::vector<double> moved = MoveTowardHarm(plan_.LossWeights(), distortions, harms.harms, harms.kl, has_choice_);
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
      state_.base_weights = plan_.LossWeights();
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
    const double price = plan_.price;
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
    state_.plan_summary = plan_.summary;
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
    trace_.push_back({task_.shard, step, plans, std::isfinite(tried) ? std::optional(tried) : std::nullopt, state_.kl, kept});
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
  absl::StatusOr<std::vector<Ablation>> Ablate() {
    std::vector<double> by_size;
    for (const PreparedTensor& tensor : bench_.prepared().tensors) by_size.push_back(static_cast<double>(tensor.weights()));
    std::vector<Ablation> out;
    const auto measure = [&](const char* name, const std::vector<double>& weights) -> absl::Status {
      NS_ASSIGN_OR_RETURN(const Measured measured, Measure(weights, absl::StrCat("ablation: ", name)));
      out.push_back({name, measured.tried.bytes + bench_.prepared().header_bytes, measured.tried.mean_kl()});
      return absl::OkStatus();
    };
    NS_RETURN_IF_ERROR(measure("uniform", by_size));
    out.push_back({"game", state_.equilibrium_bytes, state_.equilibrium_kl});
    if (!state_.settled.empty()) {
      NS_RETURN_IF_ERROR(measure("swarm only", WeightsAt(by_size, coordinates_, state_.settled)));
    }
    out.push_back({"both", plan_.file_bytes, state_.kl});
    return out;
  }

  const Task& task_;
  SearchBench& bench_;
  uint64_t tokens_;
  std::vector<bool> has_choice_;
  Coordinates coordinates_;
  Plan plan_;
  std::vector<report::SearchStep> trace_;
  SearchState state_;
};

}  // namespace

absl::StatusOr<Json> Search(const Task& task) {
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<SearchBench> bench, SearchBench::Open(task));
  if (bench->windows().empty()) {
    task.observer->Log("info", "no search: the calibration text is too short to set some of it aside to choose plans by");
    SearchRound none{bench->solved(), {}, {}};
    none.state.phase = Phase::kDone;
    NS_RETURN_IF_ERROR(none.Write(task.out_dir, task.shard));
    return Json{{"done", true}};
  }
  Searching searching(task, *bench);
  NS_RETURN_IF_ERROR(searching.Run());
  const bool done = searching.done();
  const double kl = searching.kl();
  NS_RETURN_IF_ERROR(searching.Take().Write(task.out_dir, task.shard));
  return Json{{"done", done}, {"mean_kl", kl}};
}

}  // namespace nashswarm::pipeline
