#include "core/game/bargaining.h"

#include <algorithm>
#include <vector>

#include "core/base/status.h"

namespace nashswarm::game {
namespace {

absl::Status Validate(absl::Span<const Point> points, const Point& disagreement) {
  NS_RETURN_IF_ERROR(ValidatePoints(points));
  const absl::Status status = ValidatePoints({&disagreement, 1});
  return status.ok() ? status : Annotate(status, "the disagreement point");
}

absl::Status NoGain(const Point& disagreement) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "BARGAINING_NO_GAIN",
                   absl::StrCat("no agreement gives both more than (", disagreement.x, ", ", disagreement.y, ")"));
}

// 0 unless both gain: the product of two losses is positive too.
double ProductOfGains(const Point& utility, const Point& disagreement) {
  const double x = utility.x - disagreement.x, y = utility.y - disagreement.y;
  return x > 0 && y > 0 ? x * y : 0;
}

// The share of `a` in the best point of the edge from a to b, where a.x > b.x and a.y < b.y. Gains along it, t of the
// way to b, are (gx - t dx)(gy + t dy): a parabola that opens downwards, largest half-way between its two zeros.
double BestShare(const Point& a, const Point& b, const Point& disagreement) {
  const double zero_x = (a.x - disagreement.x) / (a.x - b.x);
  const double zero_y = (disagreement.y - a.y) / (b.y - a.y);
  return 1 - std::clamp((zero_x + zero_y) / 2, 0.0, 1.0);
}

void Keep(const Agreement& candidate, Agreement& best) {
  if (candidate.product > best.product) best = candidate;
}

Agreement AtPoint(absl::Span<const Point> points, size_t i, const Point& disagreement) {
  return {points[i], ProductOfGains(points[i], disagreement), i, i, 1};
}

Agreement OnEdge(absl::Span<const Point> points, size_t first, size_t second, const Point& disagreement) {
  const Point &a = points[first], &b = points[second];
  const double share = BestShare(a, b, disagreement);
  const Point utility{share * a.x + (1 - share) * b.x, share * a.y + (1 - share) * b.y};
  return {utility, ProductOfGains(utility, disagreement), first, second, share};
}

}  // namespace

absl::StatusOr<Agreement> BargainOverPoints(absl::Span<const Point> points, const Point& disagreement) {
  NS_RETURN_IF_ERROR(Validate(points, disagreement));
  Agreement best;
  for (size_t i = 0; i < points.size(); ++i) Keep(AtPoint(points, i, disagreement), best);
  if (best.product > 0) return best;
  return NoGain(disagreement);
}

absl::StatusOr<Agreement> BargainOverHull(absl::Span<const Point> points, const Point& disagreement) {
  NS_RETURN_IF_ERROR(Validate(points, disagreement));
  // What is efficient lies on the upper right of the hull, which is the lower left of the mirrored points.
  std::vector<Point> mirrored;
  for (const Point& p : points) mirrored.push_back({-p.x, -p.y});
  NS_ASSIGN_OR_RETURN(const std::vector<size_t> hull, LowerConvexHull(mirrored));
  // Corners first: an edge wins only where it is better than its ends.
  Agreement best;
  for (const size_t i : hull) Keep(AtPoint(points, i, disagreement), best);
  for (size_t i = 1; i < hull.size(); ++i) Keep(OnEdge(points, hull[i - 1], hull[i], disagreement), best);
  if (best.product > 0) return best;
  return NoGain(disagreement);
}

}  // namespace nashswarm::game
