// Making a second moment ready: damping and factorization.
#include <algorithm>
#include <cmath>

#include "core/feedback/feedback.h"

// LAPACK, as OpenBLAS exports it: Fortran calling convention, every argument by address, column-major matrices.
extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dtrtri_(const char* uplo, const char* diag, const int* n, double* a, const int* lda, int* info);
}

namespace nashswarm::feedback {
namespace {

constexpr double kFirstGrowth = 0.01;    // where damping starts to grow from when none was asked for
constexpr double kGreatestDamping = 1e4; // beyond this H + damping is a diagonal for all that floats can tell

// The matrix with rows and columns in reverse order, lower triangle alone.
std::vector<double> Reversed(absl::Span<const float> h, uint64_t width, double damping) {
  std::vector<double> a(width * width);
  for (uint64_t i = 0; i < width; ++i) {
    const uint64_t r = width - 1 - i;
    for (uint64_t j = 0; j <= r; ++j) a[(width - 1 - j) * width + i] = h[r * width + j];
    a[i * width + i] += damping;
  }
  return a;
}

// U with (H + damping)^-1 = U^T U, or nothing when H + damping is not positive definite.
//
// With J the reversal of order and J (H + damping) J = L L^T, U = J L^-1 J: one factorization and one triangular
// inverse, half the work of inverting H and factorizing that. Row-major lower is LAPACK's column-major upper.
std::vector<float> Factor(absl::Span<const float> h, uint64_t width, double damping) {
  std::vector<double> a = Reversed(h, width, damping);
  const int n = static_cast<int>(width);
  int info = 0;
  dpotrf_("U", &n, a.data(), &n, &info);
  if (info == 0) dtrtri_("U", "N", &n, a.data(), &n, &info);
  if (info != 0) return {};
  std::vector<float> factor(width * width);
  for (uint64_t i = 0; i < width; ++i) {
    const double* row = a.data() + (width - 1 - i) * width;
    for (uint64_t j = i; j < width; ++j) factor[i * width + j] = static_cast<float>(row[width - 1 - j]);
  }
  return factor;
}

// The factor of the diagonal alone.
std::vector<float> DiagonalFactor(absl::Span<const float> diagonal, double damping) {
  std::vector<float> factor(diagonal.size() * diagonal.size());
  for (size_t i = 0; i < diagonal.size(); ++i) {
    factor[i * diagonal.size() + i] = static_cast<float>(1.0 / std::sqrt(std::max(0.0f, diagonal[i]) + damping));
  }
  return factor;
}

}  // namespace

std::shared_ptr<const Moment> Moment::Make(absl::Span<const float> h, uint64_t width, double damping) {
  auto moment = std::make_shared<Moment>();
  moment->width_ = width;
  moment->h_.assign(h.begin(), h.end());
  double mean = 0.0;
  for (uint64_t i = 0; i < width; ++i) {
    for (uint64_t j = 0; j < i; ++j) moment->h_[j * width + i] = h[i * width + j];
    moment->diagonal_.push_back(h[i * width + i]);
    mean += moment->diagonal_.back() / static_cast<double>(width);
  }
  if (!(mean > 0.0)) mean = 1.0;  // nothing is known of the inputs: all weigh the same
  for (;; damping = std::max(kFirstGrowth, 10.0 * damping)) {
    moment->damping_ = damping;
    const bool hopeless = damping > kGreatestDamping;
    moment->factor_ = hopeless ? DiagonalFactor(moment->diagonal_, damping * mean) : Factor(h, width, damping * mean);
    if (!moment->factor_.empty() || width == 0) break;
  }
  moment->added_ = static_cast<float>(moment->damping_ * mean);
  return moment;
}

}  // namespace nashswarm::feedback
