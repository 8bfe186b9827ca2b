#include "core/game/game.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/base/status.h"

namespace nashswarm::game {
namespace {

// Bounds of the exact search: steps (a second or so) and bytes of its table.
constexpr uint64_t kMaxExactCells = 100'000'000;
constexpr size_t kMaxStrategies = 255;
constexpr int kPriceSteps = 200;

double LossOf(const Player& player, int s) { return player.loss_weight * player.strategies[s].distortion; }

absl::Status Validate(absl::Span<const Player> players) {
  for (const Player& player : players) {
    bool valid = !player.strategies.empty() && player.strategies.size() <= kMaxStrategies && std::isfinite(player.loss_weight) && player.loss_weight >= 0;
    for (const Strategy& s : player.strategies) valid = valid && std::isfinite(s.distortion) && s.distortion >= 0;
    if (valid) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "GAME_INVALID",
                     absl::StrCat("player '", player.name, "' has no strategies, or a negative or non-finite number"));
  }
  return absl::OkStatus();
}

class Solver {
 public:
  Solver(absl::Span<const Player> players, uint64_t budget, uint64_t exact_work)
      : players_(players), budget_(budget), exact_work_(exact_work) {
    plan_.choice.resize(players.size());
  }

  Plan Run() {
    Respond(0);
    plan_.lower_bound = plan_.loss;  // nobody can do better than his best
    if (plan_.bytes <= budget_) {
      plan_.nobody_wants_more = plan_.proved_best = true;
      plan_.path.push_back({0, plan_.bytes, plan_.loss});
      return std::move(plan_);
    }
    FindPrice();
    SpendLeftover();
    SolveExactly();
    plan_.loss = 0;  // summed afresh: the moves above added rounding errors
    for (size_t i = 0; i < players_.size(); ++i) plan_.loss += LossOf(players_[i], plan_.choice[i]);
    if (plan_.proved_best) plan_.lower_bound = plan_.loss;
    return std::move(plan_);
  }

 private:
  // One sweep of best responses.
  void Respond(double price) {
    plan_.bytes = 0;
    plan_.loss = 0;
    for (size_t i = 0; i < players_.size(); ++i) {
      plan_.choice[i] = BestResponse(players_[i], price);
      plan_.bytes += players_[i].strategies[plan_.choice[i]].bytes;
      plan_.loss += LossOf(players_[i], plan_.choice[i]);
    }
  }

  double Dual(double price) const {
    return plan_.loss + price * (static_cast<double>(plan_.bytes) - static_cast<double>(budget_));
  }

  void Try(double price) {
    Respond(price);
    plan_.path.push_back({price, plan_.bytes, plan_.loss});
    plan_.lower_bound = std::max(plan_.lower_bound, Dual(price));
  }

  // The least price at which the players stay within the budget, to the last bit of a double.
  void FindPrice() {
    double low = 0, high = 1e-12;
    for (Try(high); plan_.bytes > budget_; Try(high)) {
      low = high;
      high *= 64;
    }
    for (int step = 0; step < kPriceSteps; ++step) {
      // Prices span many orders of magnitude: bisect their logarithm once both ends are known.
      const double middle = low > 0 ? std::sqrt(low) * std::sqrt(high) : high / 64;
      if (middle <= low || middle >= high) break;
      Try(middle);
      (plan_.bytes > budget_ ? low : high) = middle;
      if (low > 0 && high / low < 1 + 1e-12) break;
    }
    Respond(high);
    plan_.price = high;
  }

  void Move(size_t player, int strategy) {
    const Player& p = players_[player];
    plan_.bytes += p.strategies[strategy].bytes - p.strategies[plan_.choice[player]].bytes;
    plan_.loss += LossOf(p, strategy) - LossOf(p, plan_.choice[player]);
    plan_.choice[player] = strategy;
  }

  int64_t ByteChange(size_t player, int strategy) const {
    const Player& p = players_[player];
    return static_cast<int64_t>(p.strategies[strategy].bytes) -
           static_cast<int64_t>(p.strategies[plan_.choice[player]].bytes);
  }
  double Gain(size_t player, int strategy) const {  // loss saved
    return LossOf(players_[player], plan_.choice[player]) - LossOf(players_[player], strategy);
  }

  void SpendLeftover() {
    for (;;) {
      const int64_t leftover = static_cast<int64_t>(budget_ - plan_.bytes);
      double best = 0;
      size_t best_player = 0;
      int best_strategy = -1;
      for (size_t i = 0; i < players_.size(); ++i) {
        for (int s = 0; s < static_cast<int>(players_[i].strategies.size()); ++s) {
          const int64_t cost = ByteChange(i, s);
          if (cost > leftover || Gain(i, s) <= 0) continue;
          const double rate = Gain(i, s) / static_cast<double>(std::max<int64_t>(cost, 1));
          if (rate > best) {
            best = rate;
            best_player = i;
            best_strategy = s;
          }
        }
      }
      if (best_strategy < 0) return;
      Move(best_player, best_strategy);
    }
  }

  // The multiple-choice knapsack, exactly, by dynamic programming over the bytes above the smallest plan, in units of
  // their greatest common divisor. Only for games small enough; in larger ones a single tensor is a tiny part of the
  // budget and the price already leads next to the optimum.
  void SolveExactly() {
    uint64_t unit = 0, smallest = 0, strategies = 0;
    std::vector<uint64_t> least(players_.size());
    for (size_t i = 0; i < players_.size(); ++i) {
      least[i] = SmallestBytes(players_.subspan(i, 1));
      smallest += least[i];
      strategies += players_[i].strategies.size();
      for (const Strategy& s : players_[i].strategies) unit = std::gcd(unit, s.bytes - least[i]);
    }
    if (unit == 0) return;  // nobody has a choice
    const uint64_t units = (budget_ - smallest) / unit + 1;
    if (units > exact_work_ / strategies || units > kMaxExactCells / players_.size()) return;

    // best[u]: the least loss of the players so far with at most u units; taken[i][u]: what player i does there.
    std::vector<double> best(units, 0), next(units);
    std::vector<std::vector<uint8_t>> taken(players_.size(), std::vector<uint8_t>(units));
    for (size_t i = 0; i < players_.size(); ++i) {
      std::fill(next.begin(), next.end(), std::numeric_limits<double>::infinity());
      for (size_t s = 0; s < players_[i].strategies.size(); ++s) {
        const uint64_t cost = (players_[i].strategies[s].bytes - least[i]) / unit;
        const double loss = LossOf(players_[i], static_cast<int>(s));
        for (uint64_t u = cost; u < units; ++u) {
          if (best[u - cost] + loss >= next[u]) continue;
          next[u] = best[u - cost] + loss;
          taken[i][u] = static_cast<uint8_t>(s);
        }
      }
      best.swap(next);
    }
    // The fewest bytes with the least loss.
    uint64_t u = std::lower_bound(best.begin(), best.end(), best.back(), std::greater<double>()) - best.begin();
    plan_.bytes = 0;
    for (size_t i = players_.size(); i-- > 0;) {
      plan_.choice[i] = taken[i][u];
      const uint64_t bytes = players_[i].strategies[plan_.choice[i]].bytes;
      plan_.bytes += bytes;
      u -= (bytes - least[i]) / unit;
    }
    plan_.proved_best = true;
  }

  absl::Span<const Player> players_;
  uint64_t budget_, exact_work_;
  Plan plan_;
};

}  // namespace

int BestResponse(const Player& player, double price) {
  int best = 0;
  double best_cost = 0;
  for (int s = 0; s < static_cast<int>(player.strategies.size()); ++s) {
    const double cost = LossOf(player, s) + price * static_cast<double>(player.strategies[s].bytes);
    if (s == 0 || cost < best_cost ||
        (cost == best_cost && player.strategies[s].bytes < player.strategies[best].bytes)) {
      best = s;
      best_cost = cost;
    }
  }
  return best;
}

uint64_t SmallestBytes(absl::Span<const Player> players) {
  uint64_t total = 0;
  for (const Player& player : players) {
    uint64_t least = UINT64_MAX;
    for (const Strategy& s : player.strategies) least = std::min(least, s.bytes);
    total += least;
  }
  return total;
}

absl::StatusOr<Plan> Solve(absl::Span<const Player> players, uint64_t budget, uint64_t exact_work) {
  NS_RETURN_IF_ERROR(Validate(players));
  if (const uint64_t smallest = SmallestBytes(players); smallest > budget) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TARGET_INFEASIBLE",
                     absl::StrCat("the smallest plan takes ", smallest, " bytes, the target leaves ", budget));
  }
  return Solver(players, budget, exact_work).Run();
}

}  // namespace nashswarm::game
