// One round of the game inside a tensor: every weight of some rows chooses, given code lengths.
#ifndef NASHSWARM_CORE_NSQ_ROUND_H_
#define NASHSWARM_CORE_NSQ_ROUND_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/nsq/code_lengths.h"
#include "core/nsq/column.h"
#include "core/nsq/matrix.h"

namespace nashswarm::nsq {

// What does not change from round to round. Whoever makes it keeps the arrays behind the pointers alive.
struct Board {
  const float* weights = nullptr;   // rows x columns
  const float* factor = nullptr;    // columns x columns: U, when errors are fed forward (quantizer.h)
  Grid grid;
  std::vector<float> column_inverse, row_inverse;  // 1 / scale, without the step; of a column that does not count 0
  std::vector<float> column_weight;                // a squared step of this column in those of the mean one
  std::vector<float> column_price;                 // squared steps of this column a bit
};

// Rows to play on, in bands of so many (the last may have fewer). A column of a band is a path of its own.
struct Rows {
  std::vector<uint32_t> index;
  uint32_t band = 1;
  bool whole = true;                // all rows of the matrix, in their order
  uint32_t bands() const { return static_cast<uint32_t>((index.size() + band - 1) / band); }
  absl::Span<const uint32_t> OfBand(uint32_t b) const { return absl::MakeConstSpan(index).subspan(size_t{b} * band, band); }
};

struct Outcome {
  double error = 0;                 // squared steps of the mean column
  Counts counts;
  std::vector<int32_t> integers;    // rows x columns, when the rows are whole
};

// The same at any number of threads.
Outcome Play(const Board& board, const Rows& rows, const ChoiceRates& rates, float step, int threads);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_ROUND_H_
