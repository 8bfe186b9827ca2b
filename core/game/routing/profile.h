// What the tokens of a routing game chose, and moving one of them.
#ifndef NASHSWARM_CORE_GAME_ROUTING_PROFILE_H_
#define NASHSWARM_CORE_GAME_ROUTING_PROFILE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/game/routing/game.h"

namespace nashswarm::routing {

// What experts cost, by the index of BlockView::choices; in doubles and, for the kernels, the same in floats.
class Prices {
 public:
  explicit Prices(size_t experts) : exact_(2 * experts), rounded_(2 * experts) {}
  void Set(size_t expert, double join, double stay);
  double operator[](int32_t choice) const { return exact_[static_cast<size_t>(choice)]; }
  const float* rounded() const { return rounded_.data(); }

 private:
  std::vector<double> exact_;
  std::vector<float> rounded_;
};

// Refers to the game, which must outlive it. The utilities are in doubles; only Differing compares in floats.
class Profile {
 public:
  // The model's own routing: the first top_k slots of every token.
  explicit Profile(const Game& game);
  // Another choice, [tokens x top_k]. INVALID_ARGUMENT / ROUTING_SHAPE, ROUTING_CHOICE; the profile is then unchanged.
  absl::Status Choose(absl::Span<const uint16_t> chosen);

  // What the loads make of the experts' costs.
  const Prices& prices() const { return prices_; }

  // Bit l: the best response of token 16 * block + l at `prices` differs from its choice, as far as floats can tell:
  // it may be set where the gain is less than Game::rounding from the least gain, and is never unset where there is
  // one.
  uint32_t Differing(size_t block, const Prices& prices) const;

  // Changes the token's set to its best response: exchanges the least of its experts for the best of the others while
  // that gains more than the game's least gain. What an expert is worth to the token does not depend on the rest of
  // its set, so that this ends with the top_k best. Returns the gain, 0 when it stays.
  double Move(size_t token);
  // The same at other prices, as far as each exchange gains more than the least gain at the true ones too.
  double MoveToward(size_t token, const Prices& prices);
  // Adds one for each expert of each token of the block.
  void CountChoices(size_t block, std::vector<double>& counts) const;

  // What the tokens would gain by their best responses, each alone; 0 or more. Independent of Differing.
  struct Gains {
    double greatest = 0, mean = 0;
  };
  Gains AllGains();

  double Potential() const;
  double CosineSum() const { return cosine_sum_; }  // over all tokens and their experts; 0 without centres
  const std::vector<uint32_t>& loads() const { return loads_; }
  std::vector<uint16_t> Chosen() const;  // [tokens x top_k], by falling similarity
  // Over all pairs of neighbours, how many experts both chose; 0 when the game has no neighbours.
  int64_t Agreements() const;

 private:
  struct Exchange {
    size_t out, in;  // slots
    double gain;     // minus infinity when there is nothing to exchange
  };
  void Recount();  // loads, prices, agreement and cosines, from choices_
  void SetPrices(size_t expert);
  void AddGains(size_t block, Gains& gains);
  double Regret(size_t token);
  int32_t Agreeing(size_t token, size_t expert) const;
  double Worth(size_t token, size_t slot, const Prices& prices) const;
  void Weigh(size_t token, const Prices& prices);
  Exchange BestExchange() const;
  void Apply(size_t token, size_t out, size_t in);
  void Swap(size_t out, size_t in);
  void Agree(size_t token, size_t expert, int32_t by);

  const Game& game_;
  std::vector<int32_t> choices_;   // see BlockView; of lanes past the last token nothing is chosen
  std::vector<int32_t> agreeing_;  // [blocks x experts x 16], see BlockView; empty without neighbours
  std::vector<uint32_t> loads_;    // [experts]
  Prices prices_;
  double cosine_sum_ = 0;

  // Of the token that is looked at, by slot: what the slot is worth, when chosen and when not; infinite otherwise.
  std::vector<double> chosen_worth_, other_worth_;
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_PROFILE_H_
