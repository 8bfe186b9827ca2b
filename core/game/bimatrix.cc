#include "core/game/bimatrix.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/types/span.h"
#include "core/base/status.h"

namespace nashswarm::game {
namespace {

// How far a mixed strategy's sum may be from 1: far above rounding, far below any probability that matters.
constexpr double kSumTolerance = 1e-9;

using Numbers = absl::Span<const double>;

absl::Status Invalid(std::string_view message, std::string_view hint = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, "GAME_INVALID", message, hint);
}

absl::Status ValidatePayoffs(Numbers payoff, size_t cells, std::string_view whose) {
  if (payoff.size() != cells) {
    return Invalid(absl::StrCat(ToAbsl(whose), " has ", payoff.size(), " payoffs, rows * cols is ", cells));
  }
  for (const double value : payoff) {
    // Written so that NaN fails.
    if (std::abs(value) <= kLargestPayoff) continue;
    return Invalid(absl::StrCat(ToAbsl(whose), " has the payoff ", value),
                   absl::StrCat("payoffs are finite and at most ", kLargestPayoff));
  }
  return absl::OkStatus();
}

absl::Status Validate(const Bimatrix& game) {
  if (game.rows < 1 || game.cols < 1) {
    return Invalid(absl::StrCat("a game of ", game.rows, " rows and ", game.cols, " columns"),
                   "each player needs a strategy");
  }
  const size_t cells = static_cast<size_t>(game.rows) * game.cols;
  NS_RETURN_IF_ERROR(ValidatePayoffs(game.row_payoff, cells, "the row player"));
  return ValidatePayoffs(game.col_payoff, cells, "the column player");
}

absl::Status ValidateStrategy(Numbers strategy, int count, std::string_view whose) {
  if (strategy.size() != static_cast<size_t>(count)) {
    return Invalid(absl::StrCat(ToAbsl(whose), " mixes ", strategy.size(), " strategies of ", count));
  }
  double sum = 0;
  for (const double p : strategy) {
    if (!(p >= 0 && p <= 1 + kSumTolerance)) return Invalid(absl::StrCat(ToAbsl(whose), " has the probability ", p));
    sum += p;
  }
  if (std::abs(sum - 1) <= kSumTolerance) return absl::OkStatus();
  return Invalid(absl::StrCat("the probabilities of ", ToAbsl(whose), " sum to ", sum));
}

absl::Status ValidateProfile(const Bimatrix& game, const MixedProfile& profile) {
  NS_RETURN_IF_ERROR(ValidateStrategy(profile.row, game.rows, "the row player"));
  return ValidateStrategy(profile.col, game.cols, "the column player");
}

absl::Status ValidateTolerance(double tolerance) {
  if (tolerance >= 0 && std::isfinite(tolerance)) return absl::OkStatus();
  return Invalid(absl::StrCat("the tolerance is ", tolerance));
}

// Payoff of each row against `col`.
std::vector<double> RowValues(const Bimatrix& game, Numbers col) {
  std::vector<double> values(game.rows);
  for (int i = 0; i < game.rows; ++i) {
    for (int j = 0; j < game.cols; ++j) values[i] += game.row_payoff[game.at(i, j)] * col[j];
  }
  return values;
}

// Payoff of each column against `row`.
std::vector<double> ColValues(const Bimatrix& game, Numbers row) {
  std::vector<double> values(game.cols);
  for (int i = 0; i < game.rows; ++i) {
    for (int j = 0; j < game.cols; ++j) values[j] += game.col_payoff[game.at(i, j)] * row[i];
  }
  return values;
}

// What the best strategy has over the mix of all by `weights`, whose sum is `total`. Never negative: rounding may say
// so.
double Gain(Numbers values, Numbers weights, double total) {
  double mean = 0;
  for (size_t i = 0; i < values.size(); ++i) mean += weights[i] / total * values[i];
  return std::max(0.0, *std::max_element(values.begin(), values.end()) - mean);
}

int FirstLargest(Numbers values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

double ExploitabilityOf(const Bimatrix& game, const MixedProfile& profile) {
  return Gain(RowValues(game, profile.col), profile.row, 1) + Gain(ColValues(game, profile.row), profile.col, 1);
}

void Scale(std::vector<double>& numbers, double factor) {
  for (double& x : numbers) x *= factor;
}

void Add(std::vector<double>& sum, Numbers numbers) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += numbers[i];
}

// A player's population in the replicator dynamics.
class Population {
 public:
  Population(Numbers payoff, double step_size)
      : least_(*std::min_element(payoff.begin(), payoff.end())),
        range_(*std::max_element(payoff.begin(), payoff.end()) - least_),
        step_size_(step_size) {}

  void Step(Numbers values, std::vector<double>& shares) const {
    if (range_ == 0) return;  // nothing to choose between
    double sum = 0;
    for (size_t i = 0; i < shares.size(); ++i) {
      shares[i] *= 1 + step_size_ * ((values[i] - least_) / range_);
      sum += shares[i];
    }
    // The sum is the formula's denominator; dividing by it as it was rounded keeps the shares at a sum of 1.
    for (double& share : shares) share /= sum;
  }

 private:
  double least_, range_, step_size_;
};

absl::Status ValidateOptions(const Bimatrix& game, const ReplicatorOptions& options) {
  if (options.max_steps < 0) return Invalid("a negative number of steps");
  if (!(options.step_size > 0 && options.step_size <= 1)) {
    return Invalid(absl::StrCat("the step size is ", options.step_size), "use a step size above 0 and at most 1");
  }
  NS_RETURN_IF_ERROR(ValidateTolerance(options.tolerance));
  if (options.start.row.empty() && options.start.col.empty()) return absl::OkStatus();
  return ValidateProfile(game, options.start);
}

MixedProfile Uniform(const Bimatrix& game) {
  return {std::vector<double>(game.rows, 1.0 / game.rows), std::vector<double>(game.cols, 1.0 / game.cols)};
}

absl::Status ValidateOptions(const Bimatrix& game, const FictitiousPlayOptions& options) {
  if (options.max_rounds < 1) return Invalid(absl::StrCat("at most ", options.max_rounds, " rounds"));
  NS_RETURN_IF_ERROR(ValidateTolerance(options.tolerance));
  const auto [row, col] = options.start;
  if (row >= 0 && row < game.rows && col >= 0 && col < game.cols) return absl::OkStatus();
  return Invalid(absl::StrCat("the start (", row, ", ", col, ") is not in the game"));
}

}  // namespace

absl::StatusOr<std::vector<PureProfile>> PureEquilibria(const Bimatrix& game) {
  NS_RETURN_IF_ERROR(Validate(game));
  std::vector<double> best_row(game.row_payoff.begin(), game.row_payoff.begin() + game.cols);  // for each column
  for (int i = 1; i < game.rows; ++i) {
    for (int j = 0; j < game.cols; ++j) best_row[j] = std::max(best_row[j], game.row_payoff[game.at(i, j)]);
  }
  std::vector<PureProfile> found;
  for (int i = 0; i < game.rows; ++i) {
    const double* own = game.col_payoff.data() + game.at(i, 0);
    const double best_col = *std::max_element(own, own + game.cols);
    for (int j = 0; j < game.cols; ++j) {
      if (game.row_payoff[game.at(i, j)] == best_row[j] && own[j] == best_col) found.push_back({i, j});
    }
  }
  return found;
}

absl::StatusOr<double> Exploitability(const Bimatrix& game, const MixedProfile& profile) {
  NS_RETURN_IF_ERROR(Validate(game));
  NS_RETURN_IF_ERROR(ValidateProfile(game, profile));
  return ExploitabilityOf(game, profile);
}

absl::StatusOr<FictitiousPlayResult> FictitiousPlay(const Bimatrix& game, const FictitiousPlayOptions& options) {
  NS_RETURN_IF_ERROR(Validate(game));
  NS_RETURN_IF_ERROR(ValidateOptions(game, options));
  // How often each strategy was played, and what it would have earned, over all rounds.
  std::vector<double> row_count(game.rows), col_count(game.cols), row_sum(game.rows), col_sum(game.cols);
  FictitiousPlayResult result;
  PureProfile play = options.start;
  for (;;) {
    ++result.rounds;
    ++row_count[play.row];
    ++col_count[play.col];
    for (int i = 0; i < game.rows; ++i) row_sum[i] += game.row_payoff[game.at(i, play.col)];
    for (int j = 0; j < game.cols; ++j) col_sum[j] += game.col_payoff[game.at(play.row, j)];

    const double rounds = static_cast<double>(result.rounds);
    result.exploitability = (Gain(row_sum, row_count, rounds) + Gain(col_sum, col_count, rounds)) / rounds;
    result.met_tolerance = result.exploitability <= options.tolerance;
    if (result.met_tolerance || result.rounds == options.max_rounds) break;
    play = {FirstLargest(row_sum), FirstLargest(col_sum)};
  }
  Scale(row_count, 1 / static_cast<double>(result.rounds));
  Scale(col_count, 1 / static_cast<double>(result.rounds));
  result.strategies = {std::move(row_count), std::move(col_count)};
  return result;
}

absl::StatusOr<ReplicatorResult> ReplicatorDynamics(const Bimatrix& game, const ReplicatorOptions& options) {
  NS_RETURN_IF_ERROR(Validate(game));
  NS_RETURN_IF_ERROR(ValidateOptions(game, options));
  const Population rows(game.row_payoff, options.step_size), cols(game.col_payoff, options.step_size);
  ReplicatorResult result;
  result.last = options.start.row.empty() ? Uniform(game) : options.start;
  result.average = {std::vector<double>(game.rows), std::vector<double>(game.cols)};
  auto& [row, col] = result.last;
  for (;; ++result.steps) {
    Add(result.average.row, row);
    Add(result.average.col, col);
    const std::vector<double> row_values = RowValues(game, col), col_values = ColValues(game, row);
    result.last_exploitability = Gain(row_values, row, 1) + Gain(col_values, col, 1);
    result.met_tolerance = result.last_exploitability <= options.tolerance;
    if (result.met_tolerance || result.steps == options.max_steps) break;
    rows.Step(row_values, row);
    cols.Step(col_values, col);
  }
  Scale(result.average.row, 1 / static_cast<double>(result.steps + 1));
  Scale(result.average.col, 1 / static_cast<double>(result.steps + 1));
  result.average_exploitability = ExploitabilityOf(game, result.average);
  return result;
}

}  // namespace nashswarm::game
