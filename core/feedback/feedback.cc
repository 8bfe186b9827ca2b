#include "core/feedback/feedback.h"

#include <cblas.h>

#include <algorithm>

#include "core/feedback/panel.h"

namespace nashswarm::feedback {

void EncodeWithFeedback(quant::Format format, const float* weights, uint64_t rows, const Moment& moment, uint8_t* out) {
  const uint64_t width = moment.width();
  if (rows == 0 || width == 0) return;
  const quant::FormatInfo& info = quant::InfoOf(format);
  if (info.block_weights == 1) {
    quant::EncodeRow(format, {weights, rows * width}, {}, out);
    return;
  }
  Panel panel(format, moment);
  const uint64_t row_bytes = width / info.block_weights * info.block_bytes;
  const auto at_once = static_cast<uint64_t>(panel.rows_at_once());
  for (uint64_t row = 0; row < rows; row += at_once) {
    panel.Encode(weights + row * width, static_cast<int>(std::min(at_once, rows - row)), out + row * row_bytes);
  }
}

MomentError CompareWithMoment(const float* weights, const float* decoded, uint64_t rows, const Moment& moment) {
  const uint64_t width = moment.width();
  constexpr uint64_t kRows = 64;  // at a time
  std::vector<float> error(kRows * width), product(kRows * width);
  MomentError total;
  // sum over rows of v H v^T
  const auto form = [&](const float* v, uint64_t count) {
    const int n = static_cast<int>(width);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(count), n, n, 1.0f, v, n,
                moment.h().data(), n, 0.0f, product.data(), n);
    double sum = 0.0;
    for (uint64_t i = 0; i < count * width; ++i) sum += static_cast<double>(product[i]) * v[i];
    return sum;
  };
  for (uint64_t row = 0; row < rows; row += kRows) {
    const uint64_t count = std::min(kRows, rows - row);
    const float* w = weights + row * width;
    for (uint64_t i = 0; i < count * width; ++i) error[i] = w[i] - decoded[row * width + i];
    total.error += form(error.data(), count);
    total.energy += form(w, count);
  }
  return total;
}

}  // namespace nashswarm::feedback
