// Two-player bargaining (Nash 1950, "The bargaining problem", Econometrica 18): the one agreement that is efficient,
// symmetric, independent of the units of utility and of alternatives nobody chose maximises the product of both
// players' gains over what they have without agreement.
//
// Coordinates of a point are utilities, x of player 1 and y of player 2; more is better (unlike in pareto.h).
//
// Errors: POINTS_INVALID as in pareto.h, for the disagreement point too; FAILED_PRECONDITION / BARGAINING_NO_GAIN when
// no agreement gives both players more than the disagreement point (or so little that the product of gains rounds to
// 0).
#ifndef NASHSWARM_CORE_GAME_BARGAINING_H_
#define NASHSWARM_CORE_GAME_BARGAINING_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/game/pareto.h"

namespace nashswarm::game {

struct Agreement {
  Point utility;
  double product = 0;  // of the gains, above 0
  // How to reach it: point `first` with probability `share`, otherwise point `second` (indices into the points). For a
  // point itself: first == second and share == 1.
  size_t first = 0, second = 0;
  double share = 1;
};

// The best of the points alone; of equal products the first. O(n).
absl::StatusOr<Agreement> BargainOverPoints(absl::Span<const Point> points, const Point& disagreement);

// The best over their convex hull: the players may also toss a coin between two points, which makes the agreement
// unique (Nash's own setting). O(n log n).
absl::StatusOr<Agreement> BargainOverHull(absl::Span<const Point> points, const Point& disagreement);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_BARGAINING_H_
