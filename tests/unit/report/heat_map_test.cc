#include "core/report/heat_map.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/report/expert_loads.h"
#include "tests/unit/report/page_checks.h"

namespace nashswarm::report {
namespace {

constexpr Bucket kBuckets[] = {{1, "b1", "low"}, {2, "b5", "middle"}, {3, "b8", "high"}};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

HeatMap MapOf(size_t rows, size_t columns, double value) {
  HeatMap map;
  map.id = "map";
  map.title = "a title", map.description = "a description", map.above = "above";
  map.buckets = kBuckets;
  for (size_t r = 0; r < rows; ++r)
    map.rows.push_back({"row " + std::to_string(r), std::vector<double>(columns, value)});
  map.tooltip = [](size_t r, size_t c) { return "tip " + std::to_string(r) + "," + std::to_string(c); };
  return map;
}

TEST(HeatMapTest, AValueHasTheColourOfItsRange) {
  EXPECT_STREQ(BucketOf(kBuckets, -5).name, "low");
  EXPECT_STREQ(BucketOf(kBuckets, 0.999).name, "low");
  EXPECT_STREQ(BucketOf(kBuckets, 1).name, "middle");
  EXPECT_STREQ(BucketOf(kBuckets, 2).name, "high");
  EXPECT_STREQ(BucketOf(kBuckets, 1e300).name, "high");
}

TEST(HeatMapTest, TheLegendHasWhatIsOnTheMap) {
  HeatMap map = MapOf(1, 3, 1.5);
  map.rows[0].values[1] = kNone;
  map.rows[0].values[2] = 9;
  const std::string legend = BucketLegend(map.buckets, BucketsUsed(map), " of it");
  EXPECT_EQ(Times(legend, "<li>"), 2u);
  EXPECT_TRUE(Has(legend, ">middle</li>"));
  EXPECT_TRUE(Has(legend, ">high of it</li>"));
}

TEST(HeatMapTest, FewCellsHaveTooltipsAndNumbers) {
  HeatMap map = MapOf(2, 4, 1.5);
  map.rows[1].values[3] = kNone;
  const std::string wide = Draw(map, {.narrow = false, .width = kHalfWidth}),
                    narrow = Draw(map, {.narrow = true, .width = kNarrowWidth});
  EXPECT_EQ(Times(wide, "<rect class=\"b5\""), 7u);
  EXPECT_EQ(Times(wide, "class=\"mid in b5t\""), 7u);
  EXPECT_TRUE(Has(wide, "<title>tip 1,2</title>"));
  EXPECT_EQ(Times(wide, "tip 1,3"), 0u);  // a cell that is not there
  EXPECT_EQ(Times(narrow, "<rect class=\"b5\""), 7u);
  EXPECT_EQ(Times(narrow, "tip"), 0u);
}

TEST(HeatMapTest, ManyCellsAreOneShapeAColour) {
  HeatMap map = MapOf(60, 10, 1.5);
  map.rows[0].values = {0, 0, 0, kNone, 0, 5, 5, 1.5, 0, 0};
  for (size_t r = 1; r < 60; ++r) map.rows[r].values.assign(10, r % 2 == 0 ? kNone : 5);
  const std::string drawn = Draw(map, {.narrow = false, .width = 434});
  EXPECT_EQ(Times(drawn, "<rect"), 0u);
  EXPECT_EQ(Times(drawn, "<path"), 3u);
  EXPECT_TRUE(Has(drawn,
                  "<path class=\"cells b1\" transform=\"translate(34 24) scale(40.0000 10.3333)\" d=\"M0 0h3v0.9h-3zM4 "
                  "0h1v0.9h-1zM8 0h2v0.9h-2z\"/>"));
  EXPECT_TRUE(Has(drawn, "<path class=\"cells b5\""));
  EXPECT_TRUE(Has(drawn, "d=\"M5 0h2v0.9h-2zM0 1h10v0.9h-10zM0 3h10"));
  EXPECT_EQ(Times(drawn, "class=\"end tick\""), 30u);  // every other row is named
}

TEST(HeatMapTest, ColumnsAreNamedWhereThereIsRoom) {
  HeatMap map = MapOf(3, 3, 1.5);
  map.columns = {"one", "two", "three"};
  EXPECT_TRUE(Has(Draw(map, {.narrow = false, .width = kHalfWidth}), ">three</text>"));
  EXPECT_EQ(Times(Draw(map, {.narrow = false, .width = 120}), ">three</text>"), 0u);
}

TEST(LoadsTest, AreRelativeToAnEvenShare) {
  const std::vector<uint64_t> tokens = {400, 0, 100, 300};
  const Loads loads = LoadsOf(tokens);
  EXPECT_EQ(loads.relative, (std::vector<double>{2, 0, 0.5, 1.5}));
  EXPECT_NEAR(loads.variation, 0.7905694, 1e-6);  // sqrt((1 + 1 + 0.25 + 0.25) / 4)
  EXPECT_EQ(loads.most, 0u);
  EXPECT_EQ(loads.least, 1u);
  EXPECT_EQ(loads.unused, 1u);
  const std::vector<uint64_t> nobody = {0, 0};
  EXPECT_EQ(LoadsOf(nobody).relative, (std::vector<double>{0, 0}));
  EXPECT_TRUE(LoadsOf({}).relative.empty());
}

}  // namespace
}  // namespace nashswarm::report
