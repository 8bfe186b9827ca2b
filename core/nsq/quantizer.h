// A tensor's integers, chosen as a game among its weights: each picks the integer with the least error + price * code length,
// and the code length is set by what the others chose.
//
// The method, for a matrix W with rows as outputs and a loss tr(E H E^T):
//  - With H^-1 = U^T U, columns are rounded one after the other and the error of column j is fed forward to the columns
//    after it (Frantar et al., "GPTQ", ICLR 2023). The loss is then exactly sum_j |e_j|^2 / U_jj^2.
//  - Steps of columns are proportional to U_jj, so that every column adds the same loss (water-filling); steps of rows
//    to row_weight^-1/2.
//  - Inside a column a trellis chooses the integers (column.h).
//  - Code lengths come from static tables, fitted to the integers of the round before. A round is kept only when it
//    lowers the potential, loss + price * bits, which therefore never rises (docs/theory.md).
#ifndef NASHSWARM_CORE_NSQ_QUANTIZER_H_
#define NASHSWARM_CORE_NSQ_QUANTIZER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "core/nsq/loss.h"
#include "core/nsq/matrix.h"

namespace nashswarm::nsq {

struct Settings {
  bool dependent = true;
  bool feedback = true;          // off: plain rounding by the diagonal of H
  bool water_filling = true;     // off: one step for all columns and rows
  bool classes = true;           // off: one context
  double price = 0.42;           // squared steps a bit: the slope of the rate-distortion curve; 0: nearest integers
  int rounds = 6;                // of choosing and refitting, at most
  int threads = 1;
};

// How far a round came.
struct Round {
  double error = 0;              // loss in squared steps of the grid
  double bits = 0;               // of the integers, by the tables fitted to them
  double potential = 0;          // error + price * bits
  bool kept = false;
};

struct Quantized {
  Matrix matrix;
  std::vector<Round> rounds;
};

class Quantizer {
 public:
  // `weights`, rows x columns, finite, outlives the object; so does `loss`. BLAS is single-threaded.
  Quantizer(const float* weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss, Settings settings);

  // Root mean square of the weights in units of their grid's scales: a step is chosen relative to it. 0: all weights are 0.
  double spread() const { return spread_; }

  // The same step gives the same integers at any number of threads. step > 0, unless the spread is 0.
  Quantized Quantize(double step) const;

 private:
  struct Pass;
  void ChooseScales();
  void ChooseClasses();
  void RunTile(uint32_t tile, Pass* pass) const;
  float FactorDiagonal(uint32_t column) const;

  const float* weights_;
  const MatrixLoss& loss_;
  Settings settings_;
  Grid grid_;                            // without a step
  std::vector<float> column_scale_, row_inverse_, column_price_;
  std::vector<double> context_spread_;   // by context, relative to nothing: multiples of 1
  double spread_ = 0;
};

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_QUANTIZER_H_
