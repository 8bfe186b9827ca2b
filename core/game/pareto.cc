#include "core/game/pareto.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

#include "core/base/status.h"

namespace nashswarm::game {
namespace {

absl::Status Invalid(std::string_view message, std::string_view hint = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, "POINTS_INVALID", message, hint);
}

// Of valid points.
std::vector<size_t> FrontOf(absl::Span<const Point> points) {
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return points[a].x != points[b].x ? points[a].x < points[b].x : points[a].y < points[b].y;
  });
  std::vector<size_t> front;
  for (const size_t i : order) {
    if (front.empty() || points[i].y < points[front.back()].y) front.push_back(i);
  }
  return front;
}

// Whether b lies below the line from a to c, for a.x < b.x < c.x.
bool IsBelow(const Point& a, const Point& b, const Point& c) {
  return (b.y - a.y) * (c.x - a.x) < (c.y - a.y) * (b.x - a.x);
}

// Andrew's monotone chain ("Another efficient algorithm for convex hulls in two dimensions", 1979), the lower half.
std::vector<size_t> HullOf(absl::Span<const Point> points) {
  std::vector<size_t> hull;
  for (const size_t i : FrontOf(points)) {
    while (hull.size() >= 2 && !IsBelow(points[hull[hull.size() - 2]], points[hull.back()], points[i])) hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

// A share of the way from a to b; exact at both ends.
double Between(double a, double b, double share) { return a * (1 - share) + b * share; }

}  // namespace

absl::Status ValidatePoints(absl::Span<const Point> points) {
  if (points.empty()) return Invalid("no points");
  for (size_t i = 0; i < points.size(); ++i) {
    // Written so that NaN fails.
    if (std::abs(points[i].x) <= kLargestCoordinate && std::abs(points[i].y) <= kLargestCoordinate) continue;
    return Invalid(absl::StrCat("point ", i, " is (", points[i].x, ", ", points[i].y, ")"),
                   absl::StrCat("coordinates are finite and at most ", kLargestCoordinate));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<size_t>> ParetoFront(absl::Span<const Point> points) {
  NS_RETURN_IF_ERROR(ValidatePoints(points));
  return FrontOf(points);
}

absl::StatusOr<std::vector<size_t>> LowerConvexHull(absl::Span<const Point> points) {
  NS_RETURN_IF_ERROR(ValidatePoints(points));
  return HullOf(points);
}

absl::StatusOr<RateDistortionCurve> RateDistortionCurve::Fit(absl::Span<const Point> samples) {
  NS_RETURN_IF_ERROR(ValidatePoints(samples));
  std::vector<Point> logs;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].x < 0) return Invalid(absl::StrCat("sample ", i, " has the rate ", samples[i].x));
    if (samples[i].y <= 0) {
      return Invalid(absl::StrCat("sample ", i, " has the distortion ", samples[i].y),
                     "a distortion has a logarithm only above 0: leave lossless samples out");
    }
    logs.push_back({samples[i].x, std::log(samples[i].y)});
  }
  std::vector<Point> corners;
  for (const size_t i : HullOf(logs)) corners.push_back(samples[i]);
  return RateDistortionCurve(std::move(corners));
}

absl::StatusOr<CurveReading> RateDistortionCurve::DistortionAt(double rate) const {
  if (!std::isfinite(rate)) return Invalid(absl::StrCat("the distortion at rate ", rate));
  if (rate < corners_.front().x) return CurveReading{corners_.front().y, true};
  if (rate >= corners_.back().x) return CurveReading{corners_.back().y, rate > corners_.back().x};
  const auto right = std::upper_bound(corners_.begin(), corners_.end(), rate,
                                      [](double r, const Point& corner) { return r < corner.x; });
  const Point &a = right[-1], &b = right[0];
  if (rate == a.x) return CurveReading{a.y, false};
  const double share = (rate - a.x) / (b.x - a.x);
  return CurveReading{std::exp(Between(std::log(a.y), std::log(b.y), share)), false};
}

absl::StatusOr<CurveReading> RateDistortionCurve::RateAt(double distortion) const {
  if (!std::isfinite(distortion)) return Invalid(absl::StrCat("the rate at distortion ", distortion));
  if (distortion > corners_.front().y) return CurveReading{corners_.front().x, true};
  if (distortion <= corners_.back().y) return CurveReading{corners_.back().x, distortion < corners_.back().y};
  // The first corner with less distortion, in falling order.
  const auto right = std::upper_bound(corners_.begin(), corners_.end(), distortion,
                                      [](double d, const Point& corner) { return d > corner.y; });
  const Point &a = right[-1], &b = right[0];
  const double share = (std::log(a.y) - std::log(distortion)) / (std::log(a.y) - std::log(b.y));
  return CurveReading{Between(a.x, b.x, share), false};
}

}  // namespace nashswarm::game
