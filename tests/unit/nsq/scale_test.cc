#include "core/nsq/scale.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace nashswarm::nsq {
namespace {

TEST(ScaleTest, IsTheNearestFloatToTheEighthOfAnOctave) {
  for (int32_t i = -kGreatestScale; i <= kGreatestScale; ++i) {
    const long double exact = std::exp2(static_cast<long double>(i) / kScalesPerOctave);
    EXPECT_EQ(ScaleOf(i), static_cast<float>(exact)) << i;
  }
}

TEST(ScaleTest, AllScalesAreNormalFloatsAndGrow) {
  for (int32_t i = -kGreatestScale; i <= kGreatestScale; ++i) {
    EXPECT_TRUE(std::isnormal(ScaleOf(i))) << i;
    if (i > -kGreatestScale) { EXPECT_GT(ScaleOf(i), ScaleOf(i - 1)); }
  }
  EXPECT_EQ(ScaleOf(0), 1.0f);
  EXPECT_EQ(ScaleOf(kGreatestScale), 0x1p64f);
  EXPECT_EQ(ScaleOf(-kGreatestScale), 0x1p-64f);
}

TEST(ScaleTest, BitsDoNotChange) {
  // Files depend on them.
  constexpr uint32_t kBits[] = {0x3f800000, 0x3f8b95c2, 0x3f9837f0, 0x3fa5fed7, 0x3fb504f3, 0x3fc5672a, 0x3fd744fd, 0x3feac0c7};
  for (int32_t i = 0; i < kScalesPerOctave; ++i) EXPECT_EQ(std::bit_cast<uint32_t>(ScaleOf(i)), kBits[i]) << i;
}

TEST(ScaleTest, IndexIsTheNearestMultiple) {
  for (const int coarseness : {1, 2, 4, 8}) {
    for (double log2_scale = -3; log2_scale <= 3; log2_scale += 0.017) {
      const int32_t index = ScaleIndex(log2_scale, coarseness);
      EXPECT_EQ(index % coarseness, 0);
      EXPECT_LE(std::fabs(index / 8.0 - log2_scale), coarseness / 16.0 + 1e-9) << log2_scale;
    }
  }
}

TEST(ScaleTest, IndexStaysInRange) {
  for (const double wild : {1e300, -1e300, static_cast<double>(INFINITY), -static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    EXPECT_LE(std::abs(ScaleIndex(wild, 1)), kGreatestScale) << wild;
  }
}

}  // namespace
}  // namespace nashswarm::nsq
