// The state of a routing game: who uses what, what everything is worth, and moves. Private to the folder.
#ifndef NASHSWARM_CORE_GAME_ROUTING_GAME_H_
#define NASHSWARM_CORE_GAME_ROUTING_GAME_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/game/routing/kernels.h"
#include "core/game/routing/neighbours.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {

absl::Status CheckGame(const Batch& batch, const Options& options);

// What using an expert costs, by expert: those who use it already, and one more.
struct Prices {
  explicit Prices(uint64_t experts) : exact_stay(experts), exact_join(experts), stay(experts), join(experts) {}
  void Put(uint64_t expert, double to_stay, double to_join) {
    exact_stay[expert] = to_stay;
    exact_join[expert] = to_join;
    stay[expert] = static_cast<float>(to_stay);
    join[expert] = static_cast<float>(to_join);
  }
  std::vector<double> exact_stay, exact_join;
  std::vector<float> stay, join;  // the same, for the kernels
};

// Columns of kBlock tokens: entry (expert, token) of block b at ((b * experts) + expert) * kBlock + token.
class Game {
 public:
  // The model's own choice. What is given was checked and outlives this.
  Game(const Batch& batch, const Options& options);
  // Another choice; every token uses `used` different experts.
  void Set(absl::Span<const uint16_t> chosen);

  // Every token that wants to moves, one after another; returns how many did. Each raises the potential.
  uint64_t Sweep();
  // A first round that comes near an equilibrium: each token answers the loads that are to be expected when all have moved as
  // those before it did. It may lower the potential.
  uint64_t Settle();
  Round Describe(uint64_t moves) const;

  double GreatestGain();
  double MeanGain();

  std::vector<uint16_t> Sets() const;
  const std::vector<uint64_t>& loads() const { return loads_; }
  double share() const { return share_; }  // tokens of an expert when all have as many
  // Mean over choices of the share of neighbours that chose the same; needs alignment > 0.
  double Agreement() const;

 private:
  static constexpr float kNever = -std::numeric_limits<float>::infinity();
  // Settle trusts what moved so far as much as the model's own loads after so many tokens.
  static constexpr double kSettledHalf = 64;

  std::vector<float> Columns(absl::Span<const float> rows) const;
  uint64_t At(uint64_t token, uint64_t expert) const { return (token / kBlock * experts_ + expert) * kBlock + token % kBlock; }
  uint64_t TokensIn(uint64_t block) const;
  void RankLogits();
  void CountLoads();
  void AddForces();
  void CountAligned();
  void TellNeighbours(uint64_t token, uint64_t expert, float change);
  double Cost(double load) const;
  double CostsUpTo(uint64_t load) const;
  void Price(uint64_t expert);
  void Weigh();
  double PairWorth() const { return options_.weights.alignment / static_cast<double>(kNeighbours); }
  double Worth(uint64_t token, uint64_t expert, double cost) const;
  void Wants(uint64_t block, const Prices& prices, uint8_t* wants) const;
  // What the token gains by its best set; swaps_ lead there.
  double BestSwaps(uint64_t token, const Prices& prices);
  void Swap(uint64_t token, uint64_t from, uint64_t to);
  void ForGains(const std::function<void(double gain)>& body);  // every token

  const Batch& batch_;
  const Options& options_;
  const uint64_t experts_, tokens_, blocks_;
  const double share_;
  // Columns. fixed_: similarity, cohesion and cache, kNever outside the group; chosen_: 1 or 0; aligned_: neighbours that use
  // the expert; cosine_: to the group's centre. The last two are empty where nobody asks.
  std::vector<float> fixed_, chosen_, aligned_, cosine_;
  std::vector<uint16_t> sets_;               // tokens x used
  std::vector<uint64_t> loads_;
  Prices prices_;                            // of loads_
  Neighbours neighbours_;
  double potential_ = 0, cosines_ = 0;       // cosines_: sum over choices
  // Of BestSwaps: worth and expert of those the token uses, the worst first, and of others, and pairs of from and to.
  std::vector<std::pair<double, uint64_t>> uses_, others_;
  std::vector<std::pair<uint64_t, uint64_t>> swaps_;
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_GAME_H_
