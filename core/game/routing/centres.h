// The experts' centres, the rows of a layer's router, as far as routing needs them: their products with one another.
// Made once for a layer and used for all of its batches.
#ifndef NASHSWARM_CORE_GAME_ROUTING_CENTRES_H_
#define NASHSWARM_CORE_GAME_ROUTING_CENTRES_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::routing {

class Centres {
 public:
  // rows [experts x width], row-major; only read during the call. Costs experts^2 * width / 2 multiplications.
  // INVALID_ARGUMENT / ROUTING_SHAPE when the sizes do not fit one another or a limit, NON_FINITE_CENTRES.
  static absl::StatusOr<Centres> Make(absl::Span<const float> rows, size_t experts, size_t width);

  size_t experts() const { return experts_; }
  // [experts x experts], symmetric: inner products, divided by the greatest squared norm, so that none overflows later.
  const std::vector<float>& products() const { return products_; }

 private:
  Centres(size_t experts, std::vector<float> products) : experts_(experts), products_(std::move(products)) {}

  size_t experts_;
  std::vector<float> products_;
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_CENTRES_H_
