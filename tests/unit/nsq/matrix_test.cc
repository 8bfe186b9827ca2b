#include "core/nsq/matrix.h"

#include <gtest/gtest.h>

#include "core/coding/trellis.h"
#include "core/nsq/scale.h"

namespace nashswarm::nsq {
namespace {

TEST(MatrixTest, TilesCoverTheRowsEvenly) {
  for (const uint32_t columns : {1u, 5u, 768u, 4096u, 11008u, 1u << 20}) {
    for (const uint32_t rows : {1u, 2u, 63u, 64u, 65u, 768u, 3072u, 50257u}) {
      Grid grid;
      grid.rows = rows;
      grid.columns = columns;
      uint64_t sum = 0;
      for (uint32_t t = 0; t < grid.tiles(); ++t) {
        EXPECT_GE(grid.RowsOf(t), 1u) << rows << " x " << columns;
        EXPECT_LE(grid.RowsOf(t), grid.tile_rows());
        sum += grid.RowsOf(t);
      }
      EXPECT_EQ(sum, rows) << columns;
      if (grid.tile_rows() > 64) { EXPECT_LE(uint64_t{grid.tile_rows()} * columns, 256u << 10); }
      if (grid.tiles() > 1) { EXPECT_GE(grid.tile_rows(), 33u); }
    }
  }
}

TEST(MatrixTest, ContextsAreTheGreatestSumOfClasses) {
  Grid grid;
  EXPECT_EQ(grid.contexts(), 1);
  grid.row_class = {0, 2};
  grid.column_class = {1, 3, 0};
  EXPECT_EQ(grid.contexts(), 6);
  EXPECT_EQ(grid.tables(), 12);
  grid.dependent = false;
  EXPECT_EQ(grid.tables(), 6);
}

TEST(MatrixTest, DecodesByTheStatesOfEachColumnFromEachTile) {
  Matrix matrix;
  matrix.grid.rows = 6000;  // two tiles
  matrix.grid.columns = 64;
  matrix.grid.step = 0.37f;
  matrix.grid.column_scale.assign(64, 5);
  matrix.grid.row_scale.assign(6000, -3);
  ASSERT_EQ(matrix.grid.tiles(), 2u);
  for (uint32_t i = 0; i < 6000 * 64; ++i) matrix.integers.push_back(static_cast<int32_t>(i * 7919 % 11) - 5);
  for (const bool dependent : {false, true}) {
    matrix.grid.dependent = dependent;
    const std::vector<float> decoded = Decode(matrix);
    for (uint32_t c = 0; c < 64; ++c) {
      int state = 0;
      for (uint32_t r = 0; r < 6000; ++r) {
        if (r == matrix.grid.tile_rows()) state = 0;
        const int32_t k = matrix.integers[r * 64 + c];
        const int64_t steps = dependent ? coding::Reconstruction(coding::QuantizerOf(state), k) : k;
        state = coding::NextState(state, k);
        ASSERT_EQ(decoded[r * 64 + c], static_cast<float>(steps) * (0.37f * ScaleOf(5)) * ScaleOf(-3)) << r << ' ' << c;
      }
    }
  }
}

}  // namespace
}  // namespace nashswarm::nsq
