// Products with weight matrices: y = x W^T + b, by BLAS, in the calling thread.
#ifndef NASHSWARM_CORE_FORWARD_LINEAR_H_
#define NASHSWARM_CORE_FORWARD_LINEAR_H_

#include <cstdint>

#include "core/forward/matrix.h"

namespace nashswarm::forward {

// A matrix in row order: row r starts at data + r * stride.
struct Rows {
  float* data;
  uint64_t stride;
  float* at(uint64_t row) const { return data + row * stride; }
};

// c[m x n] = a[m x k] b[n x k]^T + beta * c. Extents and strides are below 2^31.
void MultiplyTransposed(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b,
                        uint64_t b_stride, float beta, float* c, uint64_t c_stride);
// c[m x n] = a[m x k] b[k x n] + beta * c.
void Multiply(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b, uint64_t b_stride,
              float beta, float* c, uint64_t c_stride);
// c[m x n] = a[k x m]^T b[k x n] + beta * c.
void TransposedMultiply(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b,
                        uint64_t b_stride, float beta, float* c, uint64_t c_stride);

// Columns [first, first + count) of x W^T + b for `rows` rows of x; column `first` of row r goes to y.at(r)[0].
void Project(const Matrix& matrix, Rows x, uint64_t rows, uint64_t first, uint64_t count, Rows y);
// The same, added to y.
void ProjectAndAdd(const Matrix& matrix, Rows x, uint64_t rows, uint64_t first, uint64_t count, Rows y);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_LINEAR_H_
