// Choosing the integers of one column of a tile: the path through the trellis with the least error + price * code length.
//
// Dependent quantization (core/coding/trellis.h) lets the integers chosen before decide which of two quantizers the next
// weight gets; the best path is found by the algorithm of Viterbi (1967) over eight states. Against a plain quantizer it
// saves about 0.17 bit a weight at the same error (Marcellin and Fischer, "Trellis coded quantization of memoryless and
// Gauss-Markov sources", 1990).
#ifndef NASHSWARM_CORE_NSQ_COLUMN_H_
#define NASHSWARM_CORE_NSQ_COLUMN_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::nsq {

// Code lengths of magnitudes, for choosing: `kRateWidth` floats a table, in bits. Magnitudes beyond cost as the last.
inline constexpr int kRateWidth = 128;

struct ColumnProblem {
  const float* values = nullptr;        // the weights of the column in units of its step; `rows` of them
  int rows = 0;
  const uint8_t* row_class = nullptr;   // `rows`
  int column_class = 0;
  bool dependent = true;
  const float* rates = nullptr;         // [table][kRateWidth]; tables as in coding::Contexts
  float price = 0;                      // squared steps a bit
};

// Memory that is used again from column to column.
class ColumnScratch {
 public:
  void Resize(int rows);
  std::vector<float> costs;      // [row][4]: of the best integer of each quantizer and parity
  std::vector<int16_t> levels;   // [row][4]: its magnitude
  std::vector<uint8_t> taken;    // [row]: which of two ways leads to each of the eight states
};

// Writes the integers, and the number of steps each stands for. Finite values only; beyond +-60,000 they saturate.
// With and without AVX2 the results agree to the bit.
void ChooseColumn(const ColumnProblem& problem, ColumnScratch* scratch, int32_t* integers, float* steps);
void ForceScalarColumns(bool on);  // tests; thread-hostile

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_COLUMN_H_
