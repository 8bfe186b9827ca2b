#include "core/forward/linear.h"

#include <cblas.h>

#include <algorithm>

namespace nashswarm::forward {
namespace {

blasint Int(uint64_t extent) { return static_cast<blasint>(extent); }

void AddProduct(const Matrix& matrix, Rows x, uint64_t rows, uint64_t first, uint64_t count, float beta, Rows y) {
  MultiplyTransposed(rows, count, matrix.inputs, x.data, x.stride, matrix.weight.data() + first * matrix.inputs,
                     matrix.inputs, beta, y.data, y.stride);
}

}  // namespace

void MultiplyTransposed(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b,
                        uint64_t b_stride, float beta, float* c, uint64_t c_stride) {
  if (m == 1) {  // a matrix by a vector: sgemm would copy the whole matrix first
    cblas_sgemv(CblasRowMajor, CblasNoTrans, Int(n), Int(k), 1, b, Int(b_stride), a, 1, beta, c, 1);
    return;
  }
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, Int(m), Int(n), Int(k), 1, a, Int(a_stride), b, Int(b_stride),
              beta, c, Int(c_stride));
}

void Multiply(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b, uint64_t b_stride,
              float beta, float* c, uint64_t c_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, Int(m), Int(n), Int(k), 1, a, Int(a_stride), b, Int(b_stride),
              beta, c, Int(c_stride));
}

void TransposedMultiply(uint64_t m, uint64_t n, uint64_t k, const float* a, uint64_t a_stride, const float* b,
                        uint64_t b_stride, float beta, float* c, uint64_t c_stride) {
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, Int(m), Int(n), Int(k), 1, a, Int(a_stride), b, Int(b_stride),
              beta, c, Int(c_stride));
}

void Project(const Matrix& matrix, Rows x, uint64_t rows, uint64_t first, uint64_t count, Rows y) {
  if (matrix.bias.empty()) return AddProduct(matrix, x, rows, first, count, 0, y);
  for (uint64_t r = 0; r < rows; ++r) std::copy_n(matrix.bias.data() + first, count, y.at(r));
  AddProduct(matrix, x, rows, first, count, 1, y);
}

void ProjectAndAdd(const Matrix& matrix, Rows x, uint64_t rows, uint64_t first, uint64_t count, Rows y) {
  if (!matrix.bias.empty()) {
    for (uint64_t r = 0; r < rows; ++r) {
      float* row = y.at(r);
      for (uint64_t i = 0; i < count; ++i) row[i] += matrix.bias[first + i];
    }
  }
  AddProduct(matrix, x, rows, first, count, 1, y);
}

}  // namespace nashswarm::forward
