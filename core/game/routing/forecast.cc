#include "core/game/routing/forecast.h"

#include <algorithm>

namespace nashswarm::routing {
namespace {

// Steps of kStep / (kStart + blocks). With kStep = 1 the forecast would be the mean of all samples, and the first
// ones, made at the wrong prices, would count for ever; with more it forgets them, and is noisier. Of the pairs tried
// on 2048 tokens, 64 experts, these and others from 2 to 4 and 10 to 30 leave about the same moves to the rounds that
// follow.
constexpr double kStep = 2, kStart = 10;

}  // namespace

Forecast::Forecast(const Game& game, const std::vector<uint32_t>& loads)
    : game_(game), loads_(loads.begin(), loads.end()), sample_(loads.size()), prices_(loads.size()) {
  for (size_t expert = 0; expert < loads_.size(); ++expert) SetPrices(expert);
}

// Between whole loads, in proportion.
void Forecast::SetPrices(size_t expert) {
  const auto below = std::min(static_cast<size_t>(loads_[expert]), game_.tokens());
  const double part = loads_[expert] - static_cast<double>(below);
  const double price = game_.cost(below) + part * (game_.cost(below + 1) - game_.cost(below));
  prices_.Set(expert, price, price);
}

void Forecast::Learn(const Profile& profile, size_t block) {
  std::fill(sample_.begin(), sample_.end(), 0.0);
  profile.CountChoices(block, sample_);
  const double step = kStep / (kStart + static_cast<double>(learnt_++));
  const double whole = static_cast<double>(game_.tokens()) / static_cast<double>(game_.BlockTokens(block));
  for (size_t expert = 0; expert < loads_.size(); ++expert) {
    loads_[expert] += step * (whole * sample_[expert] - loads_[expert]);
    SetPrices(expert);
  }
}

}  // namespace nashswarm::routing
