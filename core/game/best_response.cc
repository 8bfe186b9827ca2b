#include "core/game/best_response.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace nashswarm::game {
namespace {

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "GAME_INVALID", message);
}

std::string Show(absl::Span<const int> profile) { return absl::StrCat("(", absl::StrJoin(profile, ", "), ")"); }

absl::Status Validate(const FiniteGame& game, absl::Span<const int> profile) {
  if (game.strategies.empty()) return Invalid("a game without players");
  if (!game.cost) return Invalid("a game without costs");
  for (size_t i = 0; i < game.strategies.size(); ++i) {
    if (game.strategies[i] < 1) return Invalid(absl::StrCat("player ", i, " has ", game.strategies[i], " strategies"));
  }
  if (profile.size() != game.strategies.size()) {
    return Invalid(absl::StrCat("a profile of ", profile.size(), " in a game of ", game.strategies.size(), " players"));
  }
  for (size_t i = 0; i < profile.size(); ++i) {
    if (profile[i] >= 0 && profile[i] < game.strategies[i]) continue;
    return Invalid(absl::StrCat("player ", i, " plays ", profile[i], " of ", game.strategies[i], " strategies"));
  }
  return absl::OkStatus();
}

absl::Status ValidateNotNegative(double value, std::string_view name) {
  if (value >= 0 && std::isfinite(value)) return absl::OkStatus();
  return Invalid(absl::StrCat(ToAbsl(name), " is ", value));
}

absl::StatusOr<double> CostAt(const FiniteGame& game, absl::Span<const int> profile, int player) {
  const double cost = game.cost(profile, player);
  if (std::isfinite(cost)) return cost;
  return Invalid(absl::StrCat("player ", player, " pays ", cost, " at ", Show(profile)));
}

absl::StatusOr<double> PotentialAt(const FiniteGame& game, absl::Span<const int> profile) {
  const double potential = game.potential(profile);
  if (std::isfinite(potential)) return potential;
  return Invalid(absl::StrCat("the potential is ", potential, " at ", Show(profile)));
}

struct Response {
  int strategy;
  double cost_before, cost;  // now, and with `strategy`
};

// The player's best strategy; its own one unless another is better by more than `least_gain`.
absl::StatusOr<Response> Respond(const FiniteGame& game, std::vector<int> profile, int player, double least_gain) {
  const int current = profile[player];
  NS_ASSIGN_OR_RETURN(const double now, CostAt(game, profile, player));
  Response best{current, now, now};
  for (int s = 0; s < game.strategies[player]; ++s) {
    if (s == current) continue;
    profile[player] = s;
    NS_ASSIGN_OR_RETURN(const double cost, CostAt(game, profile, player));
    if (cost < best.cost && now - cost > least_gain) best = {s, now, cost};
  }
  return best;
}

// The definition of an exact potential: Monderer and Shapley 1996, section 2.
absl::Status CheckMove(double potential_before, double potential, const Response& move, int player,
                       absl::Span<const int> profile, double tolerance) {
  const double largest =
      std::max({std::abs(potential_before), std::abs(potential), std::abs(move.cost_before), std::abs(move.cost)});
  const double off = (potential - potential_before) - (move.cost - move.cost_before);
  if (std::abs(off) <= tolerance * largest) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "GAME_NOT_POTENTIAL",
                   absl::StrCat("player ", player, " moved to ", Show(profile), ": its cost changed by ",
                                move.cost - move.cost_before, ", the potential by ", potential - potential_before),
                   "couplings must be symmetric, and counted once in the potential");
}

}  // namespace

absl::StatusOr<BestResponseResult> RunBestResponse(const FiniteGame& game, absl::Span<const int> start,
                                                   const BestResponseOptions& options) {
  NS_RETURN_IF_ERROR(Validate(game, start));
  if (options.max_rounds < 1) return Invalid(absl::StrCat("at most ", options.max_rounds, " rounds"));
  NS_RETURN_IF_ERROR(ValidateNotNegative(options.least_gain, "the least gain"));
  NS_RETURN_IF_ERROR(ValidateNotNegative(options.potential_tolerance, "the tolerance of the potential"));

  BestResponseResult result;
  result.profile.assign(start.begin(), start.end());
  if (game.potential) {
    NS_ASSIGN_OR_RETURN(const double potential, PotentialAt(game, result.profile));
    result.potential.push_back(potential);
  }
  while (!result.ended && result.rounds < options.max_rounds) {
    ++result.rounds;
    result.ended = true;
    for (int player = 0; player < static_cast<int>(game.strategies.size()); ++player) {
      NS_ASSIGN_OR_RETURN(const Response move, Respond(game, result.profile, player, options.least_gain));
      if (move.strategy == result.profile[player]) continue;
      result.profile[player] = move.strategy;
      ++result.moves;
      result.ended = false;
      if (!game.potential) continue;
      NS_ASSIGN_OR_RETURN(const double potential, PotentialAt(game, result.profile));
      NS_RETURN_IF_ERROR(
          CheckMove(result.potential.back(), potential, move, player, result.profile, options.potential_tolerance));
      result.potential.push_back(potential);
    }
  }
  return result;
}

absl::StatusOr<bool> IsEquilibrium(const FiniteGame& game, absl::Span<const int> profile, double least_gain) {
  NS_RETURN_IF_ERROR(Validate(game, profile));
  NS_RETURN_IF_ERROR(ValidateNotNegative(least_gain, "the least gain"));
  const std::vector<int> own(profile.begin(), profile.end());
  for (int player = 0; player < static_cast<int>(own.size()); ++player) {
    NS_ASSIGN_OR_RETURN(const Response move, Respond(game, own, player, least_gain));
    if (move.strategy != own[player]) return false;
  }
  return true;
}

}  // namespace nashswarm::game
