// The loads to be expected at the end of a round, learnt while it runs, and their prices.
#ifndef NASHSWARM_CORE_GAME_ROUTING_FORECAST_H_
#define NASHSWARM_CORE_GAME_ROUTING_FORECAST_H_

#include <cstdint>
#include <vector>

#include "core/game/routing/game.h"
#include "core/game/routing/profile.h"

namespace nashswarm::routing {

// Stochastic approximation (H. Robbins, S. Monro, "A stochastic approximation method", 1951) of the loads that bring
// themselves about: each block of tokens that chose at the prices of the forecast is a sample of what all would
// choose, and moves the forecast towards it by steps that fall as 1 / blocks. Refers to the game.
class Forecast {
 public:
  // Begins with `loads` [experts].
  Forecast(const Game& game, const std::vector<uint32_t>& loads);
  // What the experts would cost at the forecast, to join as to stay.
  const Prices& prices() const { return prices_; }
  // `block` chose.
  void Learn(const Profile& profile, size_t block);

 private:
  void SetPrices(size_t expert);

  const Game& game_;
  std::vector<double> loads_, sample_;  // [experts]
  Prices prices_;
  size_t learnt_ = 0;
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_FORECAST_H_
