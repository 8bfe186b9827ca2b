// Where plans of a search are made and measured: loss weights in, a plan at the job's size and its KL divergence out.
#ifndef NASHSWARM_CORE_PIPELINE_SEARCH_BENCH_H_
#define NASHSWARM_CORE_PIPELINE_SEARCH_BENCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/game/game.h"
#include "core/pipeline/candidate.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/players.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

// Tells the observer tokens of the round; a pass over the windows begins where the one before ended.
class SearchProgress {
 public:
  explicit SearchProgress(Observer* observer) : observer_(observer) {}
  void Expect(uint64_t tokens) { total_ += tokens; }
  evaluate::Progress Of(std::string what);

 private:
  Observer* observer_;
  uint64_t total_ = 0, before_ = 0, last_ = 0;
};

// A plan that was made to the size, encoded and run.
struct Measured {
  std::vector<double> weights;        // the loss weights it is the equilibrium of, by tensor
  game::Plan plan;
  CandidateEvaluator::Tried tried;    // as ENCODE will make it
  double step_factor = 1;             // of coded tensors: between the plan's steps and those tried
};

class SearchBench {
 public:
  // Reads what earlier stages wrote. `task` outlives it.
  static absl::StatusOr<std::unique_ptr<SearchBench>> Open(const Task& task);

  const Prepared& prepared() const { return in_.prepared; }
  const model::Model& model() const { return in_.open.model; }
  const Plan& solved() const { return solved_; }                         // SOLVE's
  const std::vector<evaluate::Window>& windows() const { return windows_; }  // to choose plans by; empty when no text was set aside
  std::string TextUsed() const;                                          // what text they are from, in words
  bool HasChoice(size_t tensor) const { return players_.choices[tensor].size() > 1; }
  uint64_t budget() const { return budget_; }                            // bytes of all tensors
  SearchProgress& progress() { return progress_; }

  // The equilibrium of these loss weights at the budget.
  absl::StatusOr<game::Plan> Solve(const std::vector<double>& weights) const;
  // It, settled to the budget and measured. `step_factor`: a first guess.
  absl::StatusOr<Measured> Measure(const std::vector<double>& weights, double step_factor, const std::string& what);
  // It, measured as it is, the bytes it is off by counted at `price`.
  absl::StatusOr<double> Guess(const std::vector<double>& weights, double step_factor, double price, const std::string& what);

  // How much lower the KL divergence is with one tensor of `plan` (as of PlanOf) exact, by tensor; 0 where there is no choice.
  struct Harms {
    double kl = 0;                    // with all of them compressed
    std::vector<double> harms;
  };
  absl::StatusOr<Harms> MeasureHarms(const Plan& plan);

  // As SOLVE's, with what this one is.
  absl::StatusOr<Plan> PlanOf(const Measured& measured) const;

 private:
  SearchBench(const Task& task, StageInputs in);
  absl::StatusOr<std::vector<FrontierPoint>> FrontierOf(const Players& players) const;
  Players PlayersWith(const std::vector<double>& weights) const;
  std::vector<Choice> ChoicesOf(const game::Plan& plan, double step_factor) const;

  const Task& task_;
  StageInputs in_;
  Players players_;
  Plan solved_;
  std::vector<evaluate::Window> windows_;
  uint64_t budget_ = 0;
  SearchProgress progress_;
  std::unique_ptr<CandidateEvaluator> evaluator_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SEARCH_BENCH_H_
