#include "core/nsq/power.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"

namespace nashswarm::nsq {
namespace {

constexpr uint32_t kRowsAtOnce = 64;  // of a part: cut by shape alone, so that sums do not depend on the threads

// The squares of a row in units of the column scales.
void Squares(const Board& board, uint32_t row, double* squares) {
  const float* from = board.weights + size_t{row} * board.grid.columns;
  for (uint32_t c = 0; c < board.grid.columns; ++c) {
    const double v = static_cast<double>(from[c]) * static_cast<double>(board.column_inverse[c]);
    squares[c] = v * v;
  }
}

}  // namespace

Power MeanSquares(const Board& board, int threads) {
  const uint32_t rows = board.grid.rows, columns = board.grid.columns, parts = (rows + kRowsAtOnce - 1) / kRowsAtOnce;
  Power power{std::vector<double>(rows, 0.0), std::vector<double>(columns, 0.0)};
  std::vector<std::vector<double>> sums(parts);
  (void)ParallelFor(threads, parts, [&](uint64_t part) {
    const auto first = static_cast<uint32_t>(part) * kRowsAtOnce;
    std::vector<double> squares(columns);
    sums[part].assign(columns, 0.0);
    for (uint32_t r = first; r < std::min(rows, first + kRowsAtOnce); ++r) {
      Squares(board, r, squares.data());
      const double factor = static_cast<double>(board.row_inverse[r]) * static_cast<double>(board.row_inverse[r]);
      double sum[4] = {};  // side by side, so that they do not wait for each other
      for (uint32_t c = 0; c < columns; ++c) {
        sums[part][c] += factor * squares[c];
        sum[c % 4] += squares[c];
      }
      power.row[r] = factor * (sum[0] + sum[1] + sum[2] + sum[3]) / columns;
    }
    return absl::OkStatus();
  });
  for (const std::vector<double>& sum : sums) {
    for (uint32_t c = 0; c < columns; ++c) power.column[c] += sum[c] / rows;
  }
  return power;
}

std::vector<double> ContextSpreads(const Board& board, const Rows& rows) {
  const Grid& grid = board.grid;
  std::vector<double> sums(grid.contexts()), counts(grid.contexts()), squares(grid.columns);
  for (const uint32_t r : rows.index) {
    Squares(board, r, squares.data());
    const double factor = static_cast<double>(board.row_inverse[r]) * static_cast<double>(board.row_inverse[r]);
    for (uint32_t c = 0; c < grid.columns; ++c) {
      const int context = grid.row_class[r] + grid.column_class[c];
      sums[context] += factor * squares[c];
      counts[context] += 1;
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = counts[i] > 0 ? std::sqrt(sums[i] / counts[i]) : 0;
  return sums;
}

}  // namespace nashswarm::nsq
