// Points in the plane of which less is better in both coordinates: what nobody beats, what some price selects, and a
// rate-distortion curve through measurements.
//
// Errors: INVALID_ARGUMENT / POINTS_INVALID for no points, or a coordinate that is not finite or beyond
// kLargestCoordinate; more where stated. Nothing is kept from the arguments.
#ifndef NASHSWARM_CORE_GAME_PARETO_H_
#define NASHSWARM_CORE_GAME_PARETO_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::game {

// Products of two differences stay finite up to here.
constexpr double kLargestCoordinate = 1e100;

struct Point {
  double x = 0, y = 0;  // for a strategy: rate and distortion
  bool operator==(const Point&) const = default;
};

// OK when there are points and all are finite and within bounds.
absl::Status ValidatePoints(absl::Span<const Point> points);

// Indices of the points that no other beats (is at most as large in both coordinates and smaller in one), by rising x
// and falling y, both strictly. Of equal points the first in `points` stands for all. O(n log n).
absl::StatusOr<std::vector<size_t>> ParetoFront(absl::Span<const Point> points);

// Indices of the corners of the lower left convex hull, by rising x: from the leftmost point down to the lowest. A
// point is among them exactly when it alone minimises y + price * x for some price > 0: those are the strategies that a
// price can select (Everett 1963; Shoham and Gersho 1988). Points on an edge are no corners, as far as doubles can
// tell; of equal points the first stands for all. A subset of ParetoFront. O(n log n).
absl::StatusOr<std::vector<size_t>> LowerConvexHull(absl::Span<const Point> points);

// What a curve says, and whether the question was outside what was measured, so that the answer is the nearest end's.
struct CurveReading {
  double value = 0;
  bool clamped = false;
};

// A strictly falling, convex rate-distortion curve through noisy measurements. Its corners are the lower convex hull of
// (rate, log distortion), with straight lines of log distortion between them: distortion falls exponentially with rate
// (at high rate by a factor of 4 per bit: Cover and Thomas, chapter 10). As exp is convex and rises, the curve is
// convex in distortion too. A hull keeps the lowest of noisy samples, so the curve errs towards too little distortion,
// by about the size of the noise. Never extrapolated. Immutable.
class RateDistortionCurve {
 public:
  // x is the rate (any unit, not negative), y the distortion (above 0; any unit). One sample is enough. POINTS_INVALID
  // also for a negative rate and for a distortion of 0 or less, which has no logarithm.
  static absl::StatusOr<RateDistortionCurve> Fit(absl::Span<const Point> samples);

  // The distortion at `rate`. Below the least rate: that of the least rate, clamped. Above the largest: the least
  // distortion, clamped. POINTS_INVALID for a rate that is not finite.
  absl::StatusOr<CurveReading> DistortionAt(double rate) const;

  // The least rate with at most this distortion. Above the largest distortion: the least rate, clamped. Below the
  // least: the largest rate, clamped (it does not reach what was asked). POINTS_INVALID for a distortion that is not
  // finite.
  absl::StatusOr<CurveReading> RateAt(double distortion) const;

  // The corners: rate and distortion as measured, by rising rate.
  const std::vector<Point>& corners() const { return corners_; }

 private:
  explicit RateDistortionCurve(std::vector<Point> corners) : corners_(std::move(corners)) {}

  std::vector<Point> corners_;
};

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_PARETO_H_
