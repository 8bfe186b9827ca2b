#include "core/nsq/classes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/coding/decode_tables.h"
#include "tests/unit/nsq/test_data.h"

namespace nashswarm::nsq {
namespace {

size_t Distinct(const std::vector<uint8_t>& classes) { return std::set<uint8_t>(classes.begin(), classes.end()).size(); }

TEST(ClassesTest, OneSpreadGivesOneClass) {
  // Measured spreads differ by chance, as they do here.
  constexpr uint32_t kRows = 256, kColumns = 128;
  const std::vector<float> weights = NormalWeights(kRows * kColumns);
  const MatrixLoss loss;
  const Quantizer quantizer(weights.data(), kRows, kColumns, loss, {.rounds = 1});
  const Grid grid = quantizer.Quantize(0.5).matrix.grid;
  EXPECT_EQ(Distinct(grid.row_class), 1u);
  EXPECT_EQ(Distinct(grid.column_class), 1u);
  EXPECT_EQ(grid.contexts(), 1);
}

TEST(ClassesTest, ClassesGrowWithTheSpreadFromZero) {
  std::vector<double> rows(512, 1.0), columns(512);
  for (size_t c = 0; c < columns.size(); ++c) columns[c] = c % 4 == 3 ? 64.0 : 1.0;
  const Classes classes = ChooseClasses(rows, columns);
  EXPECT_EQ(Distinct(classes.row), 1u);
  EXPECT_EQ(classes.row[0], 0);
  EXPECT_EQ(Distinct(classes.column), 2u);
  EXPECT_EQ(*std::min_element(classes.column.begin(), classes.column.end()), 0);
  for (size_t c = 0; c < columns.size(); ++c) EXPECT_EQ(classes.column[c] > 0, c % 4 == 3) << c;
}

TEST(ClassesTest, FewWeightsDoNotPayForTables) {
  const std::vector<double> rows = {1.0, 64.0}, columns = {1.0, 1.0, 1.0};
  const Classes classes = ChooseClasses(rows, columns);
  EXPECT_EQ(Distinct(classes.row), 1u);
  EXPECT_EQ(Distinct(classes.column), 1u);
}

TEST(ClassesTest, ZerosAndExtremesStayWithinTheContextsOfAFile) {
  std::vector<double> power(2000);
  for (size_t i = 0; i < power.size(); ++i) power[i] = i % 100 == 0 ? 0.0 : std::exp2(static_cast<double>(i % 97) - 48.0);
  const Classes classes = ChooseClasses(power, power);
  const int contexts = *std::max_element(classes.row.begin(), classes.row.end()) +
                       *std::max_element(classes.column.begin(), classes.column.end()) + 1;
  EXPECT_GT(contexts, 4);
  EXPECT_LE(contexts, coding::kMaxContexts);
  EXPECT_EQ(ChooseClasses(std::vector<double>(3, 0.0), std::vector<double>(2, 0.0)).row, std::vector<uint8_t>(3, 0));
}

// Two groups of columns, or of rows, whose spreads differ by a factor of 8.
TEST(ClassesTest, TwoSpreadsTakeFewerBitsWithClasses) {
  constexpr uint32_t kRows = 256, kColumns = 256;
  for (const bool by_row : {false, true}) {
    std::vector<float> weights = NormalWeights(kRows * kColumns);
    for (size_t i = 0; i < weights.size(); ++i) {
      if ((by_row ? i / kColumns : i % kColumns) % 2 == 0) weights[i] *= 8.0f;
    }
    const MatrixLoss loss;
    const Point with = AtBits(weights, kRows, kColumns, loss, {}, 2.5);
    const Point without = AtBits(weights, kRows, kColumns, loss, {.classes = false}, 2.5);
    EXPECT_NEAR(with.bits, without.bits, 0.02);
    EXPECT_LT(with.error, 0.75 * without.error) << (by_row ? "rows" : "columns");
  }
}

}  // namespace
}  // namespace nashswarm::nsq
