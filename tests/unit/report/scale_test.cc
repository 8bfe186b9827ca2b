#include "core/report/scale.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nashswarm::report {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Range Between(double low, double high) {
  Range range;
  range.Add(low);
  range.Add(high);
  return range;
}

std::vector<std::string> Labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> labels;
  for (const Tick& tick : ticks) labels.push_back(tick.label);
  return labels;
}

TEST(RangeTest, PassesOverWhatIsNoNumber) {
  Range range;
  EXPECT_TRUE(range.empty);
  range.Add(std::numeric_limits<double>::quiet_NaN());
  range.Add(std::numeric_limits<double>::infinity());
  EXPECT_TRUE(range.empty);
  range.Add(3);
  range.Add(-1);
  EXPECT_EQ(range.low, -1);
  EXPECT_EQ(range.high, 3);
}

TEST(ScaleTest, LinearByHand) {
  const Scale scale = Scale::Linear(Between(10, 20), 0, 100, 300);
  EXPECT_DOUBLE_EQ(scale(10), 100);
  EXPECT_DOUBLE_EQ(scale(15), 200);
  EXPECT_DOUBLE_EQ(scale(20), 300);
  const Scale padded = Scale::Linear(Between(10, 20), 0.5, 0, 200);  // 5 to 25
  EXPECT_DOUBLE_EQ(padded(15), 100);
  EXPECT_DOUBLE_EQ(padded.low(), 5);
  EXPECT_DOUBLE_EQ(Scale::Linear(Between(1, 20), 0.5, 0, 1).low(), 0);  // sizes are not negative
}

TEST(ScaleTest, LogByHand) {
  const Scale scale = Scale::Log(Between(0.01, 100), 0, 400, 0);
  EXPECT_DOUBLE_EQ(scale(0.01), 400);
  EXPECT_DOUBLE_EQ(scale(1), 200);
  EXPECT_DOUBLE_EQ(scale(100), 0);
}

TEST(ScaleTest, OneValueLiesInside) {
  for (const Scale& scale : {Scale::Linear(Between(7, 7), 0.1, 0, 100), Scale::Log(Between(7, 7), 0.1, 0, 100),
                             Scale::FromZero(Between(0, 0), 0.1, 0, 100), Scale::Linear(Between(0, 0), 0.1, 0, 100)}) {
    EXPECT_GE(scale(scale.log() ? 7 : 0), -1000);
    EXPECT_TRUE(std::isfinite(scale(7)));
  }
  const double middle = Scale::Log(Between(7, 7), 0.1, 0, 100)(7);
  EXPECT_NEAR(middle, 50, 1e-9);
}

TEST(ScaleTest, LogIsForPositivesOverMoreThanAFactorOfTwenty) {
  EXPECT_TRUE(WantsLog(Between(1, 21)));
  EXPECT_FALSE(WantsLog(Between(1, 20)));
  EXPECT_FALSE(WantsLog(Between(0, 1000)));
  EXPECT_FALSE(WantsLog(Range()));
}

TEST(TicksTest, LinearByHand) {
  EXPECT_THAT(Labels(LinearTicks(0, 10, 5)), ElementsAre("0", "2", "4", "6", "8", "10"));
  EXPECT_THAT(Labels(LinearTicks(2.6, 6.8, 10)), ElementsAre("3.0", "3.5", "4.0", "4.5", "5.0", "5.5", "6.0", "6.5"));
  EXPECT_THAT(Labels(LinearTicks(0, 1, 4)), ElementsAre("0.00", "0.25", "0.50", "0.75", "1.00"));
  EXPECT_THAT(Labels(LinearTicks(-1, 1, 4)), ElementsAre("−1.0", "−0.5", "0.0", "0.5", "1.0"));
  EXPECT_THAT(Labels(LinearTicks(0, 4200, 4)), ElementsAre("0", "2,000", "4,000"));
  EXPECT_THAT(Labels(LinearTicks(0, 0.003, 3)), ElementsAre("0.000", "0.001", "0.002", "0.003"));
  EXPECT_THAT(LinearTicks(1, 1, 5), IsEmpty());
  EXPECT_THAT(LinearTicks(1, std::numeric_limits<double>::infinity(), 5), IsEmpty());
}

TEST(TicksTest, LogByHand) {
  EXPECT_THAT(Labels(LogTicks(0.0005, 20, 7)), ElementsAre("0.001", "0.01", "0.1", "1", "10"));
  EXPECT_THAT(Labels(LogTicks(0.9, 60, 7)), ElementsAre("1", "2", "5", "10", "20", "50"));
  EXPECT_THAT(Labels(LogTicks(1e-9, 1e-5, 3)), ElementsAre("10⁻⁹", "10⁻⁷", "10⁻⁵"));
  EXPECT_THAT(Labels(LogTicks(1.5e-9, 6e-8, 7)), ElementsAre("2×10⁻⁹", "5×10⁻⁹", "10⁻⁸", "2×10⁻⁸", "5×10⁻⁸"));
  EXPECT_GE(LogTicks(3, 4, 5).size(), 2u);
  EXPECT_THAT(LogTicks(0, 4, 5), IsEmpty());
}

TEST(TicksTest, WholeNumbersStayWhole) {
  EXPECT_THAT(Labels(WholeTicks(1, 3, 8)), ElementsAre("1", "2", "3"));
  EXPECT_THAT(Labels(WholeTicks(1, 22, 8)), ElementsAre("5", "10", "15", "20"));
  EXPECT_THAT(Labels(WholeTicks(1, 11, 4)), ElementsAre("5", "10"));  // no 2.5
}

TEST(TicksTest, EveryTickLiesOnTheScale) {
  for (double low : {1e-12, 0.37, 4.0, 123456.0}) {
    for (double factor : {1.0001, 1.5, 30.0, 1e9}) {
      for (const auto& ticks : {LinearTicks(low, low * factor, 6), LogTicks(low, low * factor, 6)}) {
        EXPECT_GE(ticks.size(), 2u) << low << " " << factor;
        EXPECT_LE(ticks.size(), 13u) << low << " " << factor;
        for (const Tick& tick : ticks) {
          EXPECT_GE(tick.value, low * (1 - 1e-6));
          EXPECT_LE(tick.value, low * factor * (1 + 1e-6));
        }
      }
    }
  }
}

}  // namespace
}  // namespace nashswarm::report
