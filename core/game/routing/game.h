// The routing game of one batch, prepared: each token's local group with what its experts are worth, the costs of
// loads, the neighbours. Nothing in it changes during play; what the tokens chose is in a Profile (profile.h).
#ifndef NASHSWARM_CORE_GAME_ROUTING_GAME_H_
#define NASHSWARM_CORE_GAME_ROUTING_GAME_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/game/routing/kernels.h"
#include "core/game/routing/neighbours.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {

// Slot s of token i, in arrays laid out in blocks of 16 tokens as kernels.h has them.
class Game {
 public:
  // Errors as of Route. Neighbours are looked for when alignment is above 0, or `with_neighbours` asks for them.
  static absl::StatusOr<Game> Make(const Batch& batch, const Options& options, bool with_neighbours = false);

  size_t tokens() const { return tokens_; }
  size_t experts() const { return experts_; }
  size_t top_k() const { return top_k_; }
  size_t group() const { return group_; }
  size_t blocks() const { return (tokens_ + kLanes - 1) / kLanes; }
  double least_gain() const { return least_gain_; }
  // How many of the block's lanes hold tokens.
  size_t BlockTokens(size_t block) const { return block + 1 < blocks() ? kLanes : tokens_ - block * kLanes; }
  size_t At(size_t token, size_t slot) const { return (token / kLanes * group_ + slot) * kLanes + token % kLanes; }

  // [blocks x group x 16]; the last block's lanes past the last token hold experts too.
  const std::vector<int32_t>& ids() const { return ids_; }
  const std::vector<float>& values() const { return values_; }    // all but costs and alignment
  const std::vector<float>& cosines() const { return cosines_; }  // empty without centres

  // Of an expert that `load` tokens chose, to each of them; load up to tokens + 1.
  double cost(size_t load) const { return costs_[load]; }
  const Neighbours& neighbours() const { return neighbours_; }  // empty when not looked for
  double agreement() const { return agreement_; }               // worth of one neighbour's choosing the same expert
  // How much two slots may differ in float sums without differing in truth.
  double rounding() const { return rounding_; }

 private:
  Game() = default;
  void FillGroups(const Batch& batch, Similarity similarity);
  // Logits to similarities, of the tokens from `first` on in their lanes.
  void SquareGates(const Batch& batch, size_t first, float* values) const;
  void FillValues(const Batch& batch, const Weights& weights);
  void FillCosts(const Weights& weights);

  size_t tokens_ = 0, experts_ = 0, top_k_ = 0, group_ = 0;
  double least_gain_ = 0, agreement_ = 0, rounding_ = 0;
  std::vector<int32_t> ids_;
  std::vector<float> values_, cosines_;
  std::vector<double> costs_;
  Neighbours neighbours_;
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_GAME_H_
