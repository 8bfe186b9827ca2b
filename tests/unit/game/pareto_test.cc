#include "core/game/pareto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

using ::testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<size_t> Front(const std::vector<Point>& points) {
  const auto result = ParetoFront(points);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(std::vector<size_t>());
}

std::vector<size_t> Hull(const std::vector<Point>& points) {
  const auto result = LowerConvexHull(points);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(std::vector<size_t>());
}

RateDistortionCurve Fit(const std::vector<Point>& samples) {
  const auto curve = RateDistortionCurve::Fit(samples);
  EXPECT_TRUE(curve.ok()) << curve.status();
  return curve.value();
}

void ExpectReading(const absl::StatusOr<CurveReading>& reading, double value, bool clamped) {
  NS_ASSERT_OK(reading.status());
  EXPECT_NEAR(reading->value, value, 1e-12);
  EXPECT_EQ(reading->clamped, clamped);
}

// Points on a small grid, so that many are equal, in a row, or in line.
std::vector<Point> GridPoints(int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Point> points;
  for (int i = 0; i < count; ++i) {
    points.push_back({static_cast<double>(random() % 7), static_cast<double>(random() % 7)});
  }
  return points;
}

bool Beats(const Point& a, const Point& b) { return a.x <= b.x && a.y <= b.y && a != b; }

// By the definition: nobody beats it, and no earlier one equals it.
bool IsOnFront(const std::vector<Point>& points, size_t i) {
  for (size_t j = 0; j < points.size(); ++j) {
    if (Beats(points[j], points[i]) || (j < i && points[j] == points[i])) return false;
  }
  return true;
}

// On the front, and below the line between any two points on either side of it.
bool IsCorner(const std::vector<Point>& points, size_t i) {
  for (const Point& a : points) {
    for (const Point& b : points) {
      if (!(a.x < points[i].x && points[i].x < b.x)) continue;
      if ((points[i].y - a.y) * (b.x - a.x) >= (b.y - a.y) * (points[i].x - a.x)) return false;
    }
  }
  return IsOnFront(points, i);
}

TEST(ParetoFrontTest, ByHand) {
  // (3, 3) and (4, 1) are beaten by (2, 2) and (3, 1).
  EXPECT_THAT(Front({{3, 3}, {1, 4}, {4, 1}, {2, 2}, {3, 1}}), ElementsAre(1, 3, 4));
  EXPECT_THAT(Front({{5, 5}}), ElementsAre(0));
}

TEST(ParetoFrontTest, EqualCoordinates) {
  EXPECT_THAT(Front({{1, 3}, {1, 2}, {1, 4}}), ElementsAre(1));  // one rate, the least distortion
  EXPECT_THAT(Front({{3, 1}, {2, 1}, {4, 1}}), ElementsAre(1));  // one distortion, the least rate
}

TEST(ParetoFrontTest, OfEqualPointsTheFirst) {
  EXPECT_THAT(Front({{2, 2}, {1, 3}, {2, 2}, {1, 3}, {2, 2}}), ElementsAre(1, 0));
  EXPECT_THAT(Front({{0.0, 1}, {-0.0, 1}}), ElementsAre(0));
}

TEST(ParetoFrontTest, AgreesWithTheDefinition) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::vector<Point> points = GridPoints(1 + static_cast<int>(seed % 20), seed);
    const std::vector<size_t> front = Front(points);
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(std::count(front.begin(), front.end(), i), IsOnFront(points, i)) << "seed " << seed << " point " << i;
    }
    for (size_t i = 1; i < front.size(); ++i) {
      EXPECT_LT(points[front[i - 1]].x, points[front[i]].x);
      EXPECT_GT(points[front[i - 1]].y, points[front[i]].y);
    }
  }
}

TEST(ParetoFrontTest, ManyPoints) {
  // A falling line of 200,000 points, from the right to the left: all on the front, in the opposite order.
  std::vector<Point> points;
  for (int i = 0; i < 200'000; ++i) points.push_back({-1.0 * i, 1.0 * i});
  const std::vector<size_t> front = Front(points);
  ASSERT_EQ(front.size(), points.size());
  EXPECT_EQ(front.front(), 199'999u);
  EXPECT_EQ(front.back(), 0u);
}

TEST(LowerConvexHullTest, ByHand) {
  // From (0, 8) to (4, 0): (1, 4) is below that line; (2, 3) is above the one from (1, 4) to (4, 0), which passes 2.67.
  EXPECT_THAT(Hull({{2, 3}, {0, 8}, {4, 0}, {1, 4}}), ElementsAre(1, 3, 2));
  EXPECT_THAT(Hull({{5, 5}}), ElementsAre(0));
  EXPECT_THAT(Hull({{0, 1}, {1, 0}}), ElementsAre(0, 1));
}

TEST(LowerConvexHullTest, EndsAtTheLowestPoint) {
  EXPECT_THAT(Hull({{0, 4}, {1, 1}, {3, 2}, {5, 1}}),
              ElementsAre(0, 1));  // no price makes more rate worth more distortion
  EXPECT_THAT(Hull({{1, 1}, {3, 2}, {5, 5}}), ElementsAre(0));
}

TEST(LowerConvexHullTest, PointsInLineAreNoCorners) {
  EXPECT_THAT(Hull({{0, 6}, {1, 4}, {2, 2}, {3, 0}}), ElementsAre(0, 3));
  EXPECT_THAT(Hull({{0, 6}, {1, 2}, {2, 1}, {3, 0}}), ElementsAre(0, 1, 3));
}

TEST(LowerConvexHullTest, OfEqualPointsTheFirst) {
  EXPECT_THAT(Hull({{1, 1}, {0, 6}, {1, 1}, {0, 6}, {3, 0}, {3, 0}}), ElementsAre(1, 0, 4));
}

TEST(LowerConvexHullTest, AgreesWithTheDefinition) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::vector<Point> points = GridPoints(1 + static_cast<int>(seed % 20), seed);
    const std::vector<size_t> hull = Hull(points);
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(std::count(hull.begin(), hull.end(), i), IsCorner(points, i)) << "seed " << seed << " point " << i;
    }
    EXPECT_TRUE(
        std::is_sorted(hull.begin(), hull.end(), [&](size_t a, size_t b) { return points[a].x < points[b].x; }));
  }
}

TEST(RateDistortionCurveTest, ExactBetweenTwoPoints) {
  // D = 4^-R.
  const RateDistortionCurve curve = Fit({{0, 1}, {4, 1.0 / 256}});
  ExpectReading(curve.DistortionAt(0), 1, false);
  ExpectReading(curve.DistortionAt(0.5), 0.5, false);
  ExpectReading(curve.DistortionAt(1.5), 0.125, false);
  ExpectReading(curve.DistortionAt(4), 1.0 / 256, false);
  ExpectReading(curve.RateAt(1), 0, false);
  ExpectReading(curve.RateAt(0.5), 0.5, false);
  ExpectReading(curve.RateAt(0.125), 1.5, false);
  ExpectReading(curve.RateAt(1.0 / 256), 4, false);
}

TEST(RateDistortionCurveTest, NeverExtrapolates) {
  const RateDistortionCurve curve = Fit({{1, 0.5}, {2, 0.25}});
  ExpectReading(curve.DistortionAt(0.999), 0.5, true);
  ExpectReading(curve.DistortionAt(-3), 0.5, true);
  ExpectReading(curve.DistortionAt(2.001), 0.25, true);
  ExpectReading(curve.RateAt(0.501), 1, true);
  ExpectReading(curve.RateAt(0.249), 2, true);
  ExpectReading(curve.RateAt(0), 2, true);
}

TEST(RateDistortionCurveTest, NoiseIsCutOffFromBelow) {
  // In powers of two, distortion is 0, -1, -4, -3 at rates 0 to 3. -1 lies above the line from (0, 0) to (2, -4), which
  // passes -2; and more rate cannot mean more distortion.
  const RateDistortionCurve curve = Fit({{3, 1.0 / 8}, {1, 0.5}, {2, 1.0 / 16}, {0, 1}});
  EXPECT_THAT(curve.corners(), ElementsAre(Point{0, 1}, Point{2, 1.0 / 16}));
  ExpectReading(curve.DistortionAt(1), 0.25, false);
  ExpectReading(curve.DistortionAt(3), 1.0 / 16, true);
  ExpectReading(curve.RateAt(1.0 / 16), 2, false);
}

TEST(RateDistortionCurveTest, ConvexInTheLogarithmNotOnlyInDistortion) {
  // 8, 4, 1 falls by 4, then 3: convex as it is. Its logarithms 3, 2, 0 are not; the line between the ends passes 1.5.
  const RateDistortionCurve curve = Fit({{0, 8}, {1, 4}, {2, 1}});
  EXPECT_THAT(curve.corners(), ElementsAre(Point{0, 8}, Point{2, 1}));
  ExpectReading(curve.DistortionAt(1), std::exp2(1.5), false);
}

TEST(RateDistortionCurveTest, SeveralPieces) {
  // Powers of two: 0, -3, -5, -6 at rates 0, 1, 2, 4; slopes -3, -2, -1/2.
  const RateDistortionCurve curve = Fit({{0, 1}, {1, 0.125}, {2, 0.03125}, {4, 0.015625}});
  ASSERT_EQ(curve.corners().size(), 4u);
  ExpectReading(curve.DistortionAt(1), 0.125, false);
  ExpectReading(curve.DistortionAt(1.5), 0.0625, false);
  ExpectReading(curve.DistortionAt(1.0 / 3), 0.5, false);
  ExpectReading(curve.RateAt(0.125), 1, false);
  ExpectReading(curve.RateAt(0.0625), 1.5, false);
  ExpectReading(curve.RateAt(0.5), 1.0 / 3, false);
  ExpectReading(curve.RateAt(std::exp2(-5.5)), 3, false);
}

TEST(RateDistortionCurveTest, FallsConvexlyAndInvertsItself) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> noise(0, 0.3);
  std::vector<Point> samples;
  for (int i = 0; i <= 40; ++i) samples.push_back({0.2 * i, std::exp2(-0.4 * i + noise(random))});
  const RateDistortionCurve curve = Fit(samples);
  const double end = curve.corners().back().x;
  double before = kInfinity, fall_before = kInfinity;
  for (double rate = 0; rate <= end; rate += 0.05) {
    const double distortion = curve.DistortionAt(rate)->value;
    EXPECT_LT(distortion, before);
    if (before < kInfinity) {
      EXPECT_LE(before - distortion, fall_before * (1 + 1e-9));
      fall_before = before - distortion;
    }
    before = distortion;
    EXPECT_NEAR(curve.RateAt(distortion)->value, rate, 1e-9);
  }
  for (const Point& corner : curve.corners()) {  // to the bit, as measured
    EXPECT_EQ(curve.DistortionAt(corner.x)->value, corner.y);
    EXPECT_EQ(curve.RateAt(corner.y)->value, corner.x);
  }
  for (const Point& sample : samples) EXPECT_LE(curve.DistortionAt(sample.x)->value, sample.y * (1 + 1e-12));
}

TEST(RateDistortionCurveTest, OneSample) {
  const RateDistortionCurve curve = Fit({{3, 0.5}});
  ExpectReading(curve.DistortionAt(3), 0.5, false);
  ExpectReading(curve.DistortionAt(2), 0.5, true);
  ExpectReading(curve.RateAt(0.5), 3, false);
  ExpectReading(curve.RateAt(0.25), 3, true);
}

TEST(ParetoTest, InvalidPoints) {
  for (const std::vector<Point>& bad : {std::vector<Point>{},
                                        {{0, 0}, {std::nan(""), 0}},
                                        {{0, std::nan("")}},
                                        {{kInfinity, 1}},
                                        {{1, -kInfinity}},
                                        {{1e101, 1}}}) {
    EXPECT_EQ(ReasonOf(ParetoFront(bad).status()), "POINTS_INVALID");
    EXPECT_EQ(ReasonOf(LowerConvexHull(bad).status()), "POINTS_INVALID");
    EXPECT_EQ(ReasonOf(RateDistortionCurve::Fit(bad).status()), "POINTS_INVALID");
  }
  for (const Point& bad : {Point{-1, 1}, Point{1, 0}, Point{1, -1}}) {
    EXPECT_EQ(ReasonOf(RateDistortionCurve::Fit({{0, 1}, bad}).status()), "POINTS_INVALID");
  }
  const RateDistortionCurve curve = Fit({{0, 1}, {1, 0.5}});
  for (const double bad : {std::nan(""), kInfinity, -kInfinity}) {
    EXPECT_EQ(ReasonOf(curve.DistortionAt(bad).status()), "POINTS_INVALID");
    EXPECT_EQ(ReasonOf(curve.RateAt(bad).status()), "POINTS_INVALID");
  }
}

}  // namespace
}  // namespace nashswarm::game
