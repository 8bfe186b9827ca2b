// What the error of a matrix counts for: a quadratic form. The error of row i is e_i; the loss is
// sum_i row_weight_i * e_i H e_i^T, with H a second moment of the matrix's input, its diagonal alone, or the identity.
#ifndef NASHSWARM_CORE_NSQ_LOSS_H_
#define NASHSWARM_CORE_NSQ_LOSS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/feedback/feedback.h"

namespace nashswarm::nsq {

struct MatrixLoss {
  std::shared_ptr<const feedback::Moment> moment;  // null: `importance`
  std::vector<float> importance;                   // of columns, >= 0; empty: all alike
  std::vector<float> row_weights;                  // > 0; empty: all alike
};

// The sums over `rows` rows, the first of which is row `first_row` of the matrix. Undamped.
struct LossSum {
  double error = 0, energy = 0;  // of weights - decoded, and of the weights
  double relative() const { return energy > 0 ? error / energy : 0; }
};
LossSum Compare(const MatrixLoss& loss, const float* weights, const float* decoded, uint64_t first_row, uint64_t rows,
                uint64_t columns);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_LOSS_H_
