#include "core/forward/row_steps.h"

#include <algorithm>

#include "core/forward/tiling.h"

namespace nashswarm::forward {
namespace {

// Rows that a thread takes at a time in elementwise steps.
constexpr uint64_t kRowsAtATime = 16;

}  // namespace

void ForRows(ThreadPool& pool, uint64_t rows, const std::function<void(uint64_t row, int thread)>& body) {
  pool.Run((rows + kRowsAtATime - 1) / kRowsAtATime, [&](uint64_t i, int thread) {
      const uint64_t end = std::min(rows, (i + 1) * kRowsAtATime);
      for (uint64_t row = i * kRowsAtATime; row < end; ++row) body(row, thread);
      return absl::OkStatus();
    }).IgnoreError();
}

void ProjectRows(ThreadPool& pool, const Matrix& matrix, Rows x, uint64_t rows, Rows y) {
  const Tiling tiling(rows, matrix.outputs, rows);
  pool.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, count, column, columns] = tiling[i];
      Project(matrix, {x.at(row), x.stride}, count, column, columns, {y.at(row) + column, y.stride});
      return absl::OkStatus();
    }).IgnoreError();
}

void MultiplyRows(ThreadPool& pool, Rows a, uint64_t rows, Rows b, uint64_t inner, uint64_t columns, float beta, Rows c) {
  const Tiling tiling(rows, columns, rows);
  pool.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, count, column, tile_columns] = tiling[i];
      Multiply(count, tile_columns, inner, a.at(row), a.stride, b.data + column, b.stride, beta, c.at(row) + column, c.stride);
      return absl::OkStatus();
    }).IgnoreError();
}

void ProjectBack(ThreadPool& pool, const Matrix& matrix, Rows g, uint64_t rows, Rows x) {
  MultiplyRows(pool, g, rows, {const_cast<float*>(matrix.weight.data()), matrix.inputs}, matrix.outputs, matrix.inputs, 0, x);
}

}  // namespace nashswarm::forward
