// A matrix as integers: what the nsq stream of a tensor holds, and what it decodes to.
#ifndef NASHSWARM_CORE_NSQ_MATRIX_H_
#define NASHSWARM_CORE_NSQ_MATRIX_H_

#include <cstdint>
#include <vector>

#include "core/coding/frequency_table.h"

namespace nashswarm::nsq {

// The weight in row r and column c is (n * (step * 2^(column_scale[c]/8))) * 2^(row_scale[r]/8), in single precision, each
// product rounded; n is the number of steps its integer stands for (coding::StepsOf).
struct Grid {
  uint32_t rows = 0, columns = 0;
  bool dependent = true;
  float step = 0;
  std::vector<int32_t> column_scale, row_scale;       // eighths of an octave; one per column, per row
  std::vector<uint8_t> column_class, row_class;       // the sum of both is the context of a weight
  int contexts() const;                               // greatest sum + 1
  int tables() const { return contexts() * (dependent ? 2 : 1); }

  // Tiles are bands of this many rows (the last may have fewer), all columns: cut by shape alone.
  uint32_t tile_rows() const;
  uint32_t tiles() const { return rows == 0 ? 0 : (rows + tile_rows() - 1) / tile_rows(); }
  uint32_t RowsOf(uint32_t tile) const;
};

struct Matrix {
  Grid grid;
  std::vector<coding::FrequencyTable> tables;
  std::vector<int32_t> integers;                      // rows x columns
};

// All weights, rows x columns.
std::vector<float> Decode(const Matrix& matrix);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_MATRIX_H_
