#include "core/feedback/product.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/feedback/kernels.h"

namespace nashswarm::feedback {
namespace {

// How far from the ends of a panel equal rows come out unequal, for a product of this size.
int MarginOf(int from_columns, int into_columns) {
  std::vector<float> matrix(static_cast<size_t>(from_columns) * into_columns);
  std::vector<float> from(static_cast<size_t>(from_columns) * kPanelRows);
  std::vector<float> into(static_cast<size_t>(into_columns) * kPanelRows, 1.0f);
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = std::sin(static_cast<float>(7 * i + 1));
  for (size_t i = 0; i < from.size(); ++i) from[i] = std::cos(static_cast<float>(11 * (i / kPanelRows) + 1));
  SubtractProduct(matrix.data(), into_columns, from_columns, into_columns, from.data(), into.data());
  int margin = 0;
  for (int column = 0; column < into_columns; ++column) {
    const float* rows = into.data() + static_cast<size_t>(column) * kPanelRows;
    const float middle = rows[kPanelRows / 2];
    for (int i = 0; i < kPanelRows / 2; ++i) {
      if (rows[i] != middle || rows[kPanelRows - 1 - i] != middle) margin = std::max(margin, i + 1);
    }
  }
  return margin;
}

}  // namespace

void SubtractProduct(const float* matrix, int stride, int from_columns, int into_columns, const float* from,
                     float* into) {
  if (from_columns == 0 || into_columns == 0) return;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, into_columns, kPanelRows, from_columns, -1.0f, matrix, stride,
              from, kPanelRows, 1.0f, into, kPanelRows);
}

int PanelMargin() {
  constexpr int kGreatest = 16;  // should kernels turn up that no margin helps, most rows must still be of use
  static const int margin = std::min(kGreatest, std::max(MarginOf(32, 224), MarginOf(256, 512)));
  return margin;
}

}  // namespace nashswarm::feedback
