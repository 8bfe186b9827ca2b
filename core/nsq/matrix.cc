#include "core/nsq/matrix.h"

#include <algorithm>

#include "core/coding/trellis.h"
#include "core/nsq/scale.h"

namespace nashswarm::nsq {
namespace {

// A tile is about this many weights: 100 KB of code, decoded in a fraction of a millisecond...
constexpr uint32_t kTileWeights = 256u << 10;
// ...and never so flat that the fixed state its columns start in would be felt.
constexpr uint32_t kLeastTileRows = 64;

}  // namespace

int Grid::contexts() const {
  if (row_class.empty() || column_class.empty()) return 1;
  return *std::max_element(row_class.begin(), row_class.end()) + *std::max_element(column_class.begin(), column_class.end()) + 1;
}

uint32_t Grid::tile_rows() const {
  if (rows == 0 || columns == 0) return 1;
  const uint32_t most = std::max(kLeastTileRows, kTileWeights / columns);
  const uint32_t count = (rows + most - 1) / most;
  return (rows + count - 1) / count;  // as even as can be
}

uint32_t Grid::RowsOf(uint32_t tile) const { return std::min(tile_rows(), rows - tile * tile_rows()); }

std::vector<float> Decode(const Matrix& matrix) {
  const Grid& grid = matrix.grid;
  std::vector<float> out(matrix.integers.size()), column_scale(grid.columns);
  for (uint32_t c = 0; c < grid.columns; ++c) column_scale[c] = grid.step * ScaleOf(grid.column_scale[c]);
  std::vector<uint8_t> states(grid.columns);
  for (uint32_t r = 0; r < grid.rows; ++r) {
    if (r % grid.tile_rows() == 0) std::fill(states.begin(), states.end(), uint8_t{0});
    const float row_scale = ScaleOf(grid.row_scale[r]);
    for (uint32_t c = 0; c < grid.columns; ++c) {
      const size_t at = static_cast<size_t>(r) * grid.columns + c;
      const int32_t k = matrix.integers[at];
      int64_t n = k;
      if (grid.dependent) {
        n = coding::Reconstruction(coding::QuantizerOf(states[c]), k);
        states[c] = static_cast<uint8_t>(coding::NextState(states[c], k));
      }
      out[at] = (static_cast<float>(n) * column_scale[c]) * row_scale;
    }
  }
  return out;
}

}  // namespace nashswarm::nsq
