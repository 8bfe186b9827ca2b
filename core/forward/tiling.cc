#include "core/forward/tiling.h"

#include <algorithm>

#include "core/base/checked.h"

namespace nashswarm::forward {
namespace {

// BLAS copies the matrix into its own order on every call: 256 rows share that copy.
constexpr uint64_t kRowBlock = 256;
// Enough tiles for the threads of a workstation to end at about the same time.
constexpr uint64_t kTiles = 32;
// A call over fewer columns than this spends its time on starting.
constexpr uint64_t kLeastColumns = 64;

}  // namespace

Tiling::Tiling(uint64_t rows, uint64_t columns, uint64_t all_rows) : rows(rows), columns(columns) {
  row_blocks = DivideUp(rows, kRowBlock);
  const uint64_t wanted = DivideUp(kTiles, DivideUp(all_rows, kRowBlock));
  piece = DivideUp(std::max(DivideUp(columns, wanted), std::min(columns, kLeastColumns)), 16) * 16;
  pieces = DivideUp(columns, piece);
}

Tiling::Tile Tiling::operator[](uint64_t i) const {
  // Neighbouring tiles share columns, so that threads read the same part of the matrix at about the same time.
  const uint64_t row = i % row_blocks * kRowBlock, column = i / row_blocks * piece;
  return {row, std::min(kRowBlock, rows - row), column, std::min(piece, columns - column)};
}

}  // namespace nashswarm::forward
