#include "core/game/bargaining.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

Agreement Points(const std::vector<Point>& points, const Point& disagreement = {0, 0}) {
  const auto result = BargainOverPoints(points, disagreement);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(Agreement());
}

Agreement Hull(const std::vector<Point>& points, const Point& disagreement = {0, 0}) {
  const auto result = BargainOverHull(points, disagreement);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(Agreement());
}

void ExpectAt(const Agreement& agreement, double x, double y) {
  EXPECT_NEAR(agreement.utility.x, x, 1e-12);
  EXPECT_NEAR(agreement.utility.y, y, 1e-12);
}

// s of a dollar to player 1, in steps of 1/300; player 2 values the rest by `utility`.
template <typename Utility>
std::vector<Point> SplitsOfADollar(Utility utility) {
  std::vector<Point> points;
  for (int i = 0; i <= 300; ++i) points.push_back({i / 300.0, utility((300 - i) / 300.0)});
  return points;
}

TEST(BargainingTest, DollarWithLinearUtilities) {
  const auto splits = SplitsOfADollar([](double rest) { return rest; });
  ExpectAt(Points(splits), 0.5, 0.5);
  EXPECT_EQ(Points(splits).first, 150u);
  EXPECT_NEAR(Points(splits).product, 0.25, 1e-15);
  ExpectAt(Hull(splits), 0.5, 0.5);
}

TEST(BargainingTest, DollarWithAConcaveUtility) {
  // Player 2, who avoids risk, values a share r at sqrt(r). s sqrt(1 - s) is largest where 2 (1 - s) = s: he gets a
  // third.
  const Agreement agreement = Points(SplitsOfADollar([](double rest) { return std::sqrt(rest); }));
  ExpectAt(agreement, 2.0 / 3, std::sqrt(1.0 / 3));
  EXPECT_EQ(agreement.first, 200u);
}

TEST(BargainingTest, TwoPointsAndACoin) {
  const std::vector<Point> dollar = {{1, 0}, {0, 1}};
  EXPECT_EQ(ReasonOf(BargainOverPoints(dollar, {0, 0}).status()), "BARGAINING_NO_GAIN");
  const Agreement agreement = Hull(dollar);
  ExpectAt(agreement, 0.5, 0.5);
  EXPECT_NEAR(agreement.product, 0.25, 1e-15);
  EXPECT_NEAR(agreement.share, 0.5, 1e-15);
  EXPECT_EQ(agreement.first, 0u);
  EXPECT_EQ(agreement.second, 1u);
}

TEST(BargainingTest, TheDisagreementPointCounts) {
  // (x - 0.2) (1 - x) is largest half-way between 0.2 and 1.
  ExpectAt(Hull({{1, 0}, {0, 1}}, {0.2, 0}), 0.6, 0.4);
  // (y + 0.5) (1 - y) half-way between -0.5 and 1.
  ExpectAt(Hull({{0, 1}, {1, 0}}, {0, -0.5}), 0.75, 0.25);
}

TEST(BargainingTest, ShareBelongsToTheFirstPoint) {
  // Along x + y = 1 from d = (0.2, 0): x = 0.6, so 0.6 of the point (1, 0).
  const Agreement agreement = Hull({{0, 1}, {1, 0}}, {0.2, 0});
  EXPECT_EQ(agreement.first, 1u);
  EXPECT_EQ(agreement.second, 0u);
  EXPECT_NEAR(agreement.share, 0.6, 1e-15);
}

TEST(BargainingTest, ACornerMayBeBest) {
  // Products 3, 6.25, 3. Along the edge to (3, 1) it falls: at t, (2.5 + 0.5 t) (2.5 - 1.5 t) has slope -2.5 at 0.
  const std::vector<Point> points = {{1, 3}, {2.5, 2.5}, {3, 1}};
  const Agreement agreement = Hull(points);
  ExpectAt(agreement, 2.5, 2.5);
  EXPECT_EQ(agreement.first, 1u);
  EXPECT_EQ(agreement.second, 1u);
  EXPECT_EQ(agreement.share, 1);
}

TEST(BargainingTest, InnerPointsDoNotCountOnTheHull) {
  const std::vector<Point> points = {{4, 0}, {1, 1}, {0, 4}};
  ExpectAt(Points(points), 1, 1);
  ExpectAt(Hull(points), 2, 2);
}

TEST(BargainingTest, OneSidedEdge) {
  // The best of the line is beyond the end: from (4, 2) to (0, 3), 4 (1 - t) (2 + t) is largest at t = -1/2.
  const Agreement agreement = Hull({{0, 3}, {4, 2}});
  ExpectAt(agreement, 4, 2);
  EXPECT_EQ(agreement.first, 1u);
  EXPECT_EQ(agreement.second, 1u);
}

TEST(BargainingTest, TwoLossesAreNoGain) {
  EXPECT_EQ(ReasonOf(BargainOverPoints({{-2, -2}}, {0, 0}).status()), "BARGAINING_NO_GAIN");
  EXPECT_EQ(ReasonOf(BargainOverHull({{-2, -2}}, {0, 0}).status()), "BARGAINING_NO_GAIN");
  EXPECT_EQ(ReasonOf(BargainOverHull({{1, -9}, {-9, 1}}, {0, 0}).status()), "BARGAINING_NO_GAIN");
  // One alone gains.
  EXPECT_EQ(ReasonOf(BargainOverPoints({{5, 0}, {0, 0}}, {0, 0}).status()), "BARGAINING_NO_GAIN");
  EXPECT_EQ(ReasonOf(BargainOverHull({{5, 0}, {0, 0}}, {0, 0}).status()), "BARGAINING_NO_GAIN");
  ExpectAt(Points({{-9, -9}, {1, 1}}), 1, 1);
}

TEST(BargainingTest, OfEqualProductsTheFirst) {
  EXPECT_EQ(Points({{0, 0}, {1, 4}, {2, 2}, {4, 1}, {1, 4}}).first, 1u);
  EXPECT_EQ(Points({{4, 1}, {1, 4}}).first, 0u);
}

TEST(BargainingTest, IndependentOfUnits) {
  const std::vector<Point> points = {{5, 0}, {4, 3}, {0, 6}};
  std::vector<Point> scaled;
  for (const Point& p : points) scaled.push_back({10 * p.x + 3, 0.5 * p.y - 2});
  const Agreement plain = Hull(points), other = Hull(scaled, {3, -2});
  ExpectAt(other, 10 * plain.utility.x + 3, 0.5 * plain.utility.y - 2);
}

TEST(BargainingTest, NoMixIsBetter) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(-1, 3);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<Point> points = {{0.5, 0.5}};
    for (int i = 0; i < 8; ++i) points.push_back({uniform(random), uniform(random)});
    const Agreement best = Hull(points);
    ExpectAt(best, best.share * points[best.first].x + (1 - best.share) * points[best.second].x,
             best.share * points[best.first].y + (1 - best.share) * points[best.second].y);
    EXPECT_NEAR(best.product, best.utility.x * best.utility.y, 1e-12);
    EXPECT_GE(best.product, Points(points).product);
    for (const Point& a : points) {
      for (const Point& b : points) {
        for (double t = 0; t <= 1; t += 0.01) {
          const double x = a.x + t * (b.x - a.x), y = a.y + t * (b.y - a.y);
          EXPECT_TRUE(x <= 0 || y <= 0 || x * y <= best.product + 1e-12);
        }
      }
    }
  }
}

TEST(BargainingTest, InvalidPoints) {
  for (const std::vector<Point>& bad : {std::vector<Point>{}, {{1, std::nan("")}}, {{HUGE_VAL, 1}}}) {
    EXPECT_EQ(ReasonOf(BargainOverPoints(bad, {0, 0}).status()), "POINTS_INVALID");
    EXPECT_EQ(ReasonOf(BargainOverHull(bad, {0, 0}).status()), "POINTS_INVALID");
  }
  EXPECT_EQ(ReasonOf(BargainOverPoints({{1, 1}}, {std::nan(""), 0}).status()), "POINTS_INVALID");
  EXPECT_EQ(ReasonOf(BargainOverHull({{1, 1}}, {0, HUGE_VAL}).status()), "POINTS_INVALID");
}

}  // namespace
}  // namespace nashswarm::game
