// A tensor's integers, chosen as a game among its weights: each picks the integer with the least error + price * code length,
// and the code length is set by what the others chose.
//
// The method, for a matrix W with rows as outputs and a loss tr(E H E^T):
//  - With H^-1 = U^T U, columns are rounded one after the other and the error of column j is fed forward to the columns
//    after it (Frantar et al., "GPTQ", ICLR 2023). The loss is then exactly sum_j |e_j|^2 / U_jj^2.
//  - Steps of columns are proportional to U_jj, so that every column adds the same loss (water-filling); steps of rows
//    to row_weight^-1/2.
//  - Inside a column a trellis chooses the integers (column.h).
//  - Code lengths come from the integers of the round before. A round is kept only when it lowers the potential,
//    loss + price * bits, which therefore never rises (docs/theory.md).
//  - All but the last round only serve to find the code lengths. Of a large matrix they are played on a sample of the rows.
#ifndef NASHSWARM_CORE_NSQ_QUANTIZER_H_
#define NASHSWARM_CORE_NSQ_QUANTIZER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/nsq/code_lengths.h"
#include "core/nsq/loss.h"
#include "core/nsq/matrix.h"
#include "core/nsq/round.h"

namespace nashswarm::nsq {

struct Settings {
  bool dependent = true;
  bool feedback = true;          // off: plain rounding by the diagonal of H
  bool water_filling = true;     // off: one step for all columns and rows
  bool classes = true;           // off: one context
  // Squared steps a bit: the slope of the rate-distortion curve; 0: nearest integers. Dependent integers lie two steps apart;
  // plain ones lie one apart and pay a quarter.
  double price = 0.42;
  int rounds = 8;                // of choosing and refitting, at most
  int threads = 1;
  // Weights of the sample that rounds before the last are played on, about; 0, or more than there are: all.
  uint64_t sample_weights = 128u << 10;
};

// How far a round came. Of a large matrix all rounds but the last are played on a sample of the rows, and their numbers
// are those of the sample: compare rounds of as many weights.
struct Round {
  uint64_t weights = 0;          // that played
  double error = 0;              // loss in squared steps of the grid
  double bits = 0;               // of the integers, by the entropy of each table; tables not counted
  double potential = 0;          // error + price paid * bits; of kept rounds with as many weights it never rises
  bool kept = false;
};

struct Quantized {
  Matrix matrix;
  std::vector<Round> rounds;     // the last kept one is that of the matrix; none when all weights are 0
};

class Quantizer {
 public:
  // `weights`, rows x columns, finite, outlives the object; so does `loss`. BLAS is single-threaded. Columns that count for
  // nothing (inputs that are always zero, or of no importance) become zeros.
  Quantizer(const float* weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss, Settings settings);

  // Root mean square of the weights in units of their grid's scales: a step is chosen relative to it. 0: all weights are 0.
  double spread() const { return spread_; }

  // The same step gives the same integers at any number of threads. step > 0, unless the spread is 0.
  Quantized Quantize(double step) const;

 private:
  bool feeds() const { return loss_.moment != nullptr && settings_.feedback; }
  bool Counts(uint32_t column) const;
  float FactorDiagonal(uint32_t column) const;
  void ChooseScales();
  void ChooseClasses();
  void ChooseSample();
  // Plays up to `count` rounds on these rows, beginning with the code lengths *next, and learns from every one. Returns
  // the best, and in *next the lengths to go on with: those learnt last, or after a round that made things worse those
  // of the best.
  Outcome PlayRounds(const Rows& rows, float step, int count, CodeLengths* next, std::vector<Round>* rounds) const;

  const MatrixLoss& loss_;
  Settings settings_;
  Board board_;
  Rows all_, sample_;
  std::vector<double> context_spread_;   // by context, relative to nothing: multiples of 1
  double spread_ = 0;
};

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_QUANTIZER_H_
