// Choosing the integers of columns: for each the path through the trellis with the least error + price * code length.
//
// Dependent quantization (core/coding/trellis.h) lets the integers chosen before decide which of two quantizers the next
// weight gets; the best path is found by the algorithm of Viterbi (1967) over eight states. Against a plain quantizer it
// saves about 0.17 bit a weight at the same error (Marcellin and Fischer, "Trellis coded quantization of memoryless and
// Gauss-Markov sources", 1990).
//
// A search waits for itself from row to row, so eight columns are searched side by side, one in each lane of a vector.
// Lanes never look at each other: a column gets the same integers in any lane and company.
#ifndef NASHSWARM_CORE_NSQ_COLUMN_H_
#define NASHSWARM_CORE_NSQ_COLUMN_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::nsq {

// Columns at a time: one AVX2 vector of floats.
inline constexpr int kLanes = 8;
// Code lengths of magnitudes, for choosing: as many floats a table, in bits. Magnitudes beyond cost as the last.
inline constexpr int kRateWidth = 128;
// Histograms keep magnitudes below this one by one; what is beyond is an escape anyway and counts in the last entry.
inline constexpr int kHistogram = 256;

// Code lengths laid out for choosing. Between two neighbours of the same quantizer and parity lies an interval; an entry
// holds the lengths of both, so that one look-up serves: the lower one's in the low 16 bits, in 256ths of a bit.
class ChoiceRates {
 public:
  static constexpr int kSets = 4;                        // two quantizers with two parities
  static constexpr int kIntervals = kRateWidth / 2;      // of a set: it has every other magnitude
  static constexpr float kUnit = 1.0f / 256.0f;          // of a length; the greatest is 255.99 bits

  // rates: [table][kRateWidth], >= 0; tables as in coding::Contexts.
  ChoiceRates(bool dependent, absl::Span<const float> rates);

  bool dependent() const { return dependent_; }
  int tables() const { return tables_; }
  // Dependent: [context][2 * quantizer + parity][kIntervals]. Plain: [context][kRateWidth], of a magnitude and the next.
  const uint32_t* pairs() const { return pairs_.data(); }

 private:
  bool dependent_;
  int tables_;
  std::vector<uint32_t> pairs_;
};

struct ColumnsProblem {
  const float* values = nullptr;       // [rows][kLanes]: weights in units of their column's step; finite
  int rows = 0;
  const uint8_t* row_class = nullptr;  // [rows][kLanes]
  int lane_rows[kLanes] = {};          // rows of each column, <= rows; 0: the lane is unused
  int32_t column_class[kLanes] = {};
  float price[kLanes] = {};            // squared steps a bit
  const ChoiceRates* rates = nullptr;
};

// Where the choices go: [rows][kLanes] each. Beyond a lane's rows the integers and errors are 0.
struct ColumnsChoice {
  int32_t* integers = nullptr;
  float* errors = nullptr;             // value - the number of steps that the integer stands for
  uint32_t* cells = nullptr;           // table * kHistogram + magnitude; beyond a lane's rows rates->tables() * kHistogram
  double squared_error[kLanes] = {};   // of each column
};

// Memory that is used again from column to column.
struct ColumnsScratch {
  std::vector<uint32_t> decisions;  // [rows][kLanes]
};

// Values beyond +-60,000 saturate. Every instruction set gives the same bits.
void ChooseColumns(const ColumnsProblem& problem, ColumnsScratch* scratch, ColumnsChoice* choice);

// into[i] -= factors[p * factor_stride] * errors[p * rows + i] for p = 0, 1, ..., count - 1, in this order.
void FeedErrors(const float* errors, const float* factors, uint32_t factor_stride, int count, int rows, float* into);

// For tests; thread-hostile. The plain kernels from now on, or again the best ones.
void ForceScalarColumns(bool force);
// The instruction sets that this binary has kernels for and this machine runs (Highway target bits); the one to use from
// now on, 0 for the best.
int64_t ColumnTargets();
void UseColumnTarget(int64_t target);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_COLUMN_H_
