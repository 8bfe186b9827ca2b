// How a product over many rows is cut into calls of BLAS that threads share: by shape alone, so that results do not depend on
// the number of threads.
#ifndef NASHSWARM_CORE_FORWARD_TILING_H_
#define NASHSWARM_CORE_FORWARD_TILING_H_

#include <cstdint>

namespace nashswarm::forward {

// `tiles()` rectangles that cover `rows` x `columns`. Small batches are cut along the columns, large ones along the rows;
// `all_rows` are those of the whole batch, so that a batch done in portions is cut the same.
struct Tiling {
  Tiling(uint64_t rows, uint64_t columns, uint64_t all_rows);
  uint64_t tiles() const { return row_blocks * pieces; }
  struct Tile {
    uint64_t row, rows, column, columns;
  };
  Tile operator[](uint64_t i) const;

  uint64_t rows, columns, piece, row_blocks, pieces;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_TILING_H_
