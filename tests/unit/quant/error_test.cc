#include "core/quant/error.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

TEST(QuantErrorTest, ComparesByHand) {
  const std::vector<float> row = {1.0f, -2.0f, 3.0f}, decoded = {1.5f, -2.0f, 1.0f}, importance = {2.0f, 5.0f, 0.5f};
  const RowError plain = CompareRows(row, decoded, {});
  EXPECT_DOUBLE_EQ(plain.error, 0.25 + 4.0);
  EXPECT_DOUBLE_EQ(plain.energy, 1.0 + 4.0 + 9.0);
  const RowError weighted = CompareRows(row, decoded, importance);
  EXPECT_DOUBLE_EQ(weighted.error, 0.5 + 2.0);
  EXPECT_DOUBLE_EQ(weighted.energy, 2.0 + 20.0 + 4.5);
  RowError sum = plain;
  sum += weighted;
  EXPECT_DOUBLE_EQ(sum.error, plain.error + weighted.error);
  EXPECT_DOUBLE_EQ(sum.energy, plain.energy + weighted.energy);
}

TEST(QuantErrorTest, EmptyRowsHaveNone) {
  EXPECT_EQ(CompareRows({}, {}, {}).error, 0.0);
  EXPECT_EQ(CompareRows({}, {}, {}).energy, 0.0);
}

// Every weight counts, also those past the last group of partial sums.
TEST(QuantErrorTest, CountsEachWeightOnce) {
  for (size_t size : {1, 7, 8, 9, 31, 64}) {
    for (size_t i = 0; i < size; ++i) {
      std::vector<float> row(size, 0.0f), decoded(size, 0.0f), importance(size, 1.0f);
      row[i] = 2.0f;
      importance[i] = 3.0f;
      EXPECT_EQ(CompareRows(row, decoded, {}).error, 4.0);
      EXPECT_EQ(CompareRows(row, decoded, importance).error, 12.0);
      EXPECT_EQ(CompareRows(row, decoded, importance).energy, 12.0);
    }
  }
}

TEST(QuantErrorTest, MeasuresWhatEncodingLoses) {
  const std::vector<float> row = HeavyTailedRow(768, 1), importance = Importance(768, 2);
  ErrorScratch scratch;
  for (const FormatInfo& info : AllFormats()) {
    SCOPED_TRACE(info.name);
    const RowError plain = MeasureRow(info.format, row, {}, scratch);
    const double expected = RoundTripError(info.format, row);
    EXPECT_NEAR(plain.error, expected, 1e-12 * expected);
    const RowError weighted = MeasureRow(info.format, row, importance, scratch);
    const double expected_weighted = RoundTripError(info.format, row, importance, importance);
    EXPECT_NEAR(weighted.error, expected_weighted, 1e-12 * expected_weighted);
    ErrorScratch fresh;
    EXPECT_EQ(MeasureRow(info.format, row, importance, fresh).error, weighted.error);  // scratch leaves no trace
  }
}

}  // namespace
}  // namespace nashswarm::quant
