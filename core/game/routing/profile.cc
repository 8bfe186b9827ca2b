#include "core/game/routing/profile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/status.h"

namespace nashswarm::routing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// By whether a slot is chosen: makes its worth one that is never the least of the chosen, never the greatest of the
// others. Added, not branched on, because no processor foresees which slots are chosen.
constexpr double kToChosen[2] = {kInfinity, 0}, kToOther[2] = {0, -kInfinity};

}  // namespace

void Prices::Set(size_t expert, double join, double stay) {
  exact_[2 * expert] = join;
  exact_[2 * expert + 1] = stay;
  rounded_[2 * expert] = static_cast<float>(join);
  rounded_[2 * expert + 1] = static_cast<float>(stay);
}

Profile::Profile(const Game& game)
    : game_(game), choices_(game.ids().size()), loads_(game.experts()), prices_(game.experts()),
      chosen_worth_(game.group()), other_worth_(game.group()) {
  for (size_t at = 0; at < choices_.size(); ++at) choices_[at] = 2 * game.ids()[at];
  for (size_t token = 0; token < game.tokens(); ++token) {
    for (size_t slot = 0; slot < game.top_k(); ++slot) choices_[game.At(token, slot)] |= 1;
  }
  Recount();
}

absl::Status Profile::Choose(absl::Span<const uint16_t> chosen) {
  if (chosen.size() != game_.tokens() * game_.top_k()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ROUTING_SHAPE",
                     absl::StrCat(chosen.size(), " choices for ", game_.tokens(), " tokens x ", game_.top_k()));
  }
  std::vector<int32_t> choices(choices_.size());
  for (size_t at = 0; at < choices.size(); ++at) choices[at] = 2 * game_.ids()[at];
  for (size_t token = 0; token < game_.tokens(); ++token) {
    for (size_t k = 0; k < game_.top_k(); ++k) {
      const int32_t wanted = 2 * int32_t{chosen[token * game_.top_k() + k]};
      size_t slot = 0;  // a second choice of one expert finds it odd
      while (slot < game_.group() && choices[game_.At(token, slot)] != wanted) ++slot;
      if (slot == game_.group()) {
        return MakeError(absl::StatusCode::kInvalidArgument, "ROUTING_CHOICE",
                         absl::StrCat("token ", token, " chose expert ", wanted / 2, " twice or outside of its group"));
      }
      choices[game_.At(token, slot)] |= 1;
    }
  }
  choices_ = std::move(choices);
  Recount();
  return absl::OkStatus();
}

void Profile::Recount() {
  std::fill(loads_.begin(), loads_.end(), 0);
  const bool agreeing = !game_.neighbours().empty();
  if (agreeing) agreeing_.assign(game_.blocks() * game_.experts() * kLanes, 0);
  cosine_sum_ = 0;
  for (size_t token = 0; token < game_.tokens(); ++token) {
    for (size_t slot = 0; slot < game_.group(); ++slot) {
      const size_t at = game_.At(token, slot);
      if ((choices_[at] & 1) == 0) continue;
      const auto expert = static_cast<size_t>(choices_[at] >> 1);
      ++loads_[expert];
      if (agreeing) Agree(token, expert, 1);
      if (!game_.cosines().empty()) cosine_sum_ += game_.cosines()[at];
    }
  }
  for (size_t expert = 0; expert < game_.experts(); ++expert) SetPrices(expert);
}

void Profile::SetPrices(size_t expert) {
  prices_.Set(expert, game_.cost(loads_[expert] + 1), game_.cost(loads_[expert]));
}

void Profile::Agree(size_t token, size_t expert, int32_t by) {
  const Neighbours& neighbours = game_.neighbours();
  for (uint32_t n = neighbours.start[token]; n < neighbours.start[token + 1]; ++n) {
    const size_t other = neighbours.of[n];
    agreeing_[(other / kLanes * game_.experts() + expert) * kLanes + other % kLanes] += by;
  }
}

uint32_t Profile::Differing(size_t block, const Prices& prices) const {
  const size_t at = block * game_.group() * kLanes;
  const BlockView view = {
      .group = game_.group(),
      .values = &game_.values()[at],
      .choices = &choices_[at],
      .prices = prices.rounded(),
      .agreeing = agreeing_.empty() ? nullptr : &agreeing_[block * game_.experts() * kLanes],
      .agreement = static_cast<float>(game_.agreement()),
  };
  return ActiveKernels().differ(view, static_cast<float>(game_.least_gain() - game_.rounding()));
}

double Profile::Worth(size_t token, size_t slot, const Prices& prices) const {
  const size_t at = game_.At(token, slot);
  const double worth = static_cast<double>(game_.values()[at]) - prices[choices_[at]];
  if (agreeing_.empty()) return worth;
  return worth + game_.agreement() * Agreeing(token, static_cast<size_t>(choices_[at] >> 1));
}

void Profile::Weigh(size_t token, const Prices& prices) {
  const int32_t* choices = &choices_[game_.At(token, 0)];
  const float* values = &game_.values()[game_.At(token, 0)];
  const bool agreeing = !agreeing_.empty();
  for (size_t slot = 0; slot < game_.group(); ++slot) {
    const int32_t choice = choices[slot * kLanes];
    double worth = static_cast<double>(values[slot * kLanes]) - prices[choice];
    if (agreeing) worth += game_.agreement() * Agreeing(token, static_cast<size_t>(choice >> 1));
    chosen_worth_[slot] = worth + kToChosen[choice & 1];
    other_worth_[slot] = worth + kToOther[choice & 1];
  }
}

// Of equally good ones the slot nearest to the token comes in, and the farthest goes.
Profile::Exchange Profile::BestExchange() const {
  size_t out = 0, in = 0;
  double least = chosen_worth_[0], greatest = other_worth_[0];
  for (size_t slot = 1; slot < game_.group(); ++slot) {
    const double chosen = chosen_worth_[slot], other = other_worth_[slot];
    out = chosen <= least ? slot : out;
    in = other > greatest ? slot : in;
    least = std::min(least, chosen);
    greatest = std::max(greatest, other);
  }
  return {out, in, greatest - least};
}

void Profile::Apply(size_t token, size_t out, size_t in) {
  const size_t at_out = game_.At(token, out), at_in = game_.At(token, in);
  const auto left = static_cast<size_t>(choices_[at_out] >> 1), joined = static_cast<size_t>(choices_[at_in] >> 1);
  choices_[at_out] &= ~1;
  choices_[at_in] |= 1;
  --loads_[left];
  ++loads_[joined];
  SetPrices(left);
  SetPrices(joined);
  if (!agreeing_.empty()) {
    Agree(token, left, -1);
    Agree(token, joined, 1);
  }
  if (!game_.cosines().empty()) {
    cosine_sum_ += static_cast<double>(game_.cosines()[at_in]) - static_cast<double>(game_.cosines()[at_out]);
  }
}

int32_t Profile::Agreeing(size_t token, size_t expert) const {
  return agreeing_[(token / kLanes * game_.experts() + expert) * kLanes + token % kLanes];
}

// To leave what was joined frees as much as joining cost, and the other way round: their worth stays.
void Profile::Swap(size_t out, size_t in) {
  other_worth_[out] = chosen_worth_[out];
  chosen_worth_[in] = other_worth_[in];
  chosen_worth_[out] = kInfinity;
  other_worth_[in] = -kInfinity;
}

double Profile::Move(size_t token) {
  Weigh(token, prices_);
  double gain = 0;
  for (;;) {
    const Exchange best = BestExchange();
    if (!(best.gain > game_.least_gain())) return gain;
    Apply(token, best.out, best.in);
    Swap(best.out, best.in);
    gain += best.gain;
  }
}

double Profile::MoveToward(size_t token, const Prices& prices) {
  Weigh(token, prices);
  double gain = 0;
  for (;;) {
    const Exchange best = BestExchange();
    if (!(best.gain > game_.least_gain())) return gain;
    const double truly = Worth(token, best.in, prices_) - Worth(token, best.out, prices_);
    if (!(truly > game_.least_gain())) return gain;
    Apply(token, best.out, best.in);
    Swap(best.out, best.in);
    gain += truly;
  }
}

void Profile::CountChoices(size_t block, std::vector<double>& counts) const {
  const size_t from = block * game_.group() * kLanes, to = from + game_.group() * kLanes;
  for (size_t at = from; at < to; ++at) counts[static_cast<size_t>(choices_[at] >> 1)] += choices_[at] & 1;
}

Profile::Gains Profile::AllGains() {
  Gains gains;
  for (size_t block = 0; block < game_.blocks(); ++block) AddGains(block, gains);
  gains.mean /= static_cast<double>(game_.tokens());
  return gains;
}

// Most tokens gain nothing where the game has ended, which shows without sorting.
void Profile::AddGains(size_t block, Gains& gains) {
  double least[kLanes], greatest[kLanes];
  std::fill_n(least, kLanes, kInfinity);
  std::fill_n(greatest, kLanes, -kInfinity);
  for (size_t slot = 0; slot < game_.group(); ++slot) {
    const size_t at = (block * game_.group() + slot) * kLanes;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const int32_t choice = choices_[at + lane];
      double worth = static_cast<double>(game_.values()[at + lane]) - prices_[choice];
      if (!agreeing_.empty()) {
        worth += game_.agreement() * Agreeing(block * kLanes + lane, static_cast<size_t>(choice >> 1));
      }
      least[lane] = std::min(least[lane], worth + kToChosen[choice & 1]);
      greatest[lane] = std::max(greatest[lane], worth + kToOther[choice & 1]);
    }
  }
  for (size_t lane = 0; lane < game_.BlockTokens(block); ++lane) {
    if (!(greatest[lane] > least[lane])) continue;
    const double gain = Regret(block * kLanes + lane);
    gains.greatest = std::max(gains.greatest, gain);
    gains.mean += gain;
  }
}

// The sum of the best exchanges that gain.
double Profile::Regret(size_t token) {
  Weigh(token, prices_);
  double gain = 0;
  for (;;) {
    const Exchange best = BestExchange();
    if (!(best.gain > 0)) return gain;
    gain += best.gain;
    // Neither is looked at again: what came in stays in the best response, what went stays out.
    chosen_worth_[best.out] = kInfinity;
    other_worth_[best.in] = -kInfinity;
  }
}

double Profile::Potential() const {
  double values = 0, congestion = 0;
  for (size_t at = 0; at < choices_.size(); ++at) {
    if (choices_[at] & 1) values += static_cast<double>(game_.values()[at]);
  }
  std::vector<double> upto(1, 0.0);  // cost(1) + .. + cost(n)
  upto.reserve(game_.tokens() + 1);
  for (size_t n = 1; n <= game_.tokens(); ++n) upto.push_back(upto.back() + game_.cost(n));
  for (const uint32_t load : loads_) congestion += upto[load];
  return values - congestion + game_.agreement() * static_cast<double>(Agreements());
}

int64_t Profile::Agreements() const {
  if (agreeing_.empty()) return 0;
  int64_t twice = 0;  // each of a pair counts it
  for (size_t token = 0; token < game_.tokens(); ++token) {
    for (size_t slot = 0; slot < game_.group(); ++slot) {
      const int32_t choice = choices_[game_.At(token, slot)];
      if (choice & 1) twice += Agreeing(token, static_cast<size_t>(choice >> 1));
    }
  }
  return twice / 2;
}

std::vector<uint16_t> Profile::Chosen() const {
  std::vector<uint16_t> chosen;
  chosen.reserve(game_.tokens() * game_.top_k());
  for (size_t token = 0; token < game_.tokens(); ++token) {
    for (size_t slot = 0; slot < game_.group(); ++slot) {
      const int32_t choice = choices_[game_.At(token, slot)];
      if (choice & 1) chosen.push_back(static_cast<uint16_t>(choice >> 1));
    }
  }
  return chosen;
}

}  // namespace nashswarm::routing
