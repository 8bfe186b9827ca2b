#include "core/nsq/loss.h"

#include <algorithm>
#include <cmath>

namespace nashswarm::nsq {
namespace {

constexpr uint64_t kRowsAtOnce = 64;

LossSum CompareWithMoment(const MatrixLoss& loss, const float* weights, const float* decoded, uint64_t first_row, uint64_t rows,
                          uint64_t columns) {
  if (loss.row_weights.empty()) {
    const feedback::MomentError sum = feedback::CompareWithMoment(weights, decoded, rows, *loss.moment);
    return {sum.error, sum.energy};
  }
  // A row's weight is a factor of both its vectors.
  std::vector<float> w, d;
  LossSum total;
  for (uint64_t row = 0; row < rows; row += kRowsAtOnce) {
    const uint64_t count = std::min(kRowsAtOnce, rows - row);
    w.assign(weights + row * columns, weights + (row + count) * columns);
    d.assign(decoded + row * columns, decoded + (row + count) * columns);
    for (uint64_t r = 0; r < count; ++r) {
      const float factor = std::sqrt(loss.row_weights[first_row + row + r]);
      for (uint64_t c = 0; c < columns; ++c) w[r * columns + c] *= factor, d[r * columns + c] *= factor;
    }
    const feedback::MomentError sum = feedback::CompareWithMoment(w.data(), d.data(), count, *loss.moment);
    total.error += sum.error;
    total.energy += sum.energy;
  }
  return total;
}

}  // namespace

LossSum Compare(const MatrixLoss& loss, const float* weights, const float* decoded, uint64_t first_row, uint64_t rows,
                uint64_t columns) {
  if (loss.moment != nullptr) return CompareWithMoment(loss, weights, decoded, first_row, rows, columns);
  LossSum total;
  for (uint64_t r = 0; r < rows; ++r) {
    double error = 0, energy = 0;
    for (uint64_t c = 0; c < columns; ++c) {
      const double w = weights[r * columns + c], e = w - decoded[r * columns + c];
      const double factor = loss.importance.empty() ? 1.0 : loss.importance[c];
      error += factor * e * e;
      energy += factor * w * w;
    }
    const double factor = loss.row_weights.empty() ? 1.0 : loss.row_weights[first_row + r];
    total.error += factor * error;
    total.energy += factor * energy;
  }
  return total;
}

}  // namespace nashswarm::nsq
