// Encoding with error feedback: the rounding error of a column is fed forward to the columns not yet rounded, through
// the Cholesky factor of the inverse second moment of the layer's input, so that tr(E H E^T) falls, not only the plain
// error. Method: Frantar et al., "GPTQ", ICLR 2023, section 3, with the scales of GGUF's block formats inside; then
// coordinate descent over levels and scales, as in Behdin et al., "QuantEase", 2023.
//
// All of it takes BLAS to be single-threaded (blas::UseSingleThreadedBlas).
#ifndef NASHSWARM_CORE_FEEDBACK_FEEDBACK_H_
#define NASHSWARM_CORE_FEEDBACK_FEEDBACK_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/quant/format.h"

namespace nashswarm::feedback {

// The second moment H = E[x x^T] of a linear layer's input, made ready for encoding. Immutable once made; shared by the
// tensors that read the same input and by threads. About 2 * width^2 floats.
class Moment {
 public:
  // `h` is width x width, symmetric, row-major; only the lower triangle is read. `damping` is a share of the mean
  // diagonal, added to the diagonal; it grows by itself until the factorization succeeds. Inputs that are always zero
  // (diagonal 0) weigh nothing: their weights are encoded, but their error counts for nothing.
  static std::shared_ptr<const Moment> Make(absl::Span<const float> h, uint64_t width, double damping = 0.01);

  uint64_t width() const { return width_; }
  absl::Span<const float> diagonal() const { return diagonal_; }  // of h as given, undamped: the importance of columns
  absl::Span<const float> h() const { return h_; }                // full symmetric, undamped
  absl::Span<const float> factor() const { return factor_; }      // upper Cholesky factor U of (H + damping)^-1 = U^T U
  double damping() const { return damping_; }                     // the share that was used
  float added() const { return added_; }                          // what it added to the diagonal

 private:
  uint64_t width_ = 0;
  double damping_ = 0;
  float added_ = 0;
  std::vector<float> diagonal_, h_, factor_;
};

// Encodes `rows` rows of moment.width() weights; `out` has room for EncodedBytes(format, rows, width). Formats without
// blocks (F32, F16, BF16) are rounded plainly. Rows are independent of each other: any cut into calls gives the same
// bytes. But a call works on 128 rows at a time (112 on Haswell) and pays for all of them: pass many rows.
// Deterministic for one BLAS build and kernel. Weights must be finite. A call holds about 2.5 KiB for each column.
void EncodeWithFeedback(quant::Format format, const float* weights, uint64_t rows, const Moment& moment, uint8_t* out);

// Sum over rows of e H e^T for e = weights - decoded, and of w H w^T: error and energy as of quant::RowError, by the
// undamped H.
struct MomentError {
  double error = 0.0, energy = 0.0;
};
MomentError CompareWithMoment(const float* weights, const float* decoded, uint64_t rows, const Moment& moment);

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_CORE_FEEDBACK_FEEDBACK_H_
