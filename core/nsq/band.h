// The two ways to go through bands of rows: with and without error feedback. For round.cc alone.
#ifndef NASHSWARM_CORE_NSQ_BAND_H_
#define NASHSWARM_CORE_NSQ_BAND_H_

#include <cstdint>
#include <vector>

#include "core/nsq/column.h"
#include "core/nsq/round.h"

namespace nashswarm::nsq {

struct Turn {
  const Board& board;
  const Rows& rows;
  const ChoiceRates& rates;
  float inverse_step;
  int32_t* integers;                             // rows x columns, or null: not wanted
};

// What a few bands leave behind. Counts are whole numbers, so that it does not matter who counted what.
struct Tally {
  explicit Tally(const ChoiceRates& rates) : counts((static_cast<size_t>(rates.tables()) + 1) * kHistogram, 0) {}
  std::vector<uint32_t> counts;                  // one table more: for lanes that hold nothing
};

// Eight columns' worth of room.
class Lanes {
 public:
  explicit Lanes(uint32_t rows);
  // Chooses, counts in `tally`; afterwards integers, errors and squared_error are set.
  void Choose(const ChoiceRates& rates, Tally* tally);

  uint32_t rows() const { return static_cast<uint32_t>(problem.rows); }
  std::vector<float> values;                     // [row][kLanes], of every array
  std::vector<uint8_t> row_class;
  std::vector<int32_t> integers;
  std::vector<float> errors;
  ColumnsProblem problem;                        // its lane_rows, column_class and price
  double squared_error[kLanes] = {};

 private:
  std::vector<uint32_t> cells_;
  ColumnsScratch scratch_;
};

// One band, each column for itself; adds to *error.
void PlayAlone(const Turn& turn, uint32_t band, Tally* tally, double* error);

// Up to kLanes bands, the first of which is `first`; errors[i] gets those of band first + i. A band's columns wait for each
// other, but bands do not: a column is searched in all of them at once.
void PlayWithFeedback(const Turn& turn, uint32_t first, uint32_t count, Tally* tally, double* errors);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_BAND_H_
