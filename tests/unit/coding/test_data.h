// Integer matrices and their tables for the tests of coding.
#ifndef NASHSWARM_TESTS_UNIT_CODING_TEST_DATA_H_
#define NASHSWARM_TESTS_UNIT_CODING_TEST_DATA_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/coding/kernels.h"
#include "core/coding/tile.h"

namespace nashswarm::coding {

struct Matrix {
  TileShape shape;
  bool dependent = false;
  std::vector<uint8_t> row_class, column_class;
  std::vector<int32_t> k;
  std::vector<FrequencyTable> tables;

  TileClasses classes() const { return {row_class, column_class}; }
  Contexts contexts() const { return {classes(), dependent, tables}; }
};

// Fits the tables to the integers of the matrix.
inline void FitTables(Matrix& m, int contexts) {
  constexpr size_t kSize = 4096;
  const size_t tables = static_cast<size_t>(contexts) * (m.dependent ? 2 : 1);
  std::vector<double> counts(tables * kSize);
  CountMagnitudes(m.shape, m.k.data(), m.classes(), m.dependent, kSize, absl::MakeSpan(counts));
  m.tables.clear();
  for (size_t t = 0; t < tables; ++t) m.tables.push_back(FrequencyTable::Fit({counts.data() + t * kSize, kSize}));
}

// Normal integers whose spread grows with the context; one in `outlier` is far out (none if 0).
inline Matrix NormalMatrix(TileShape shape, int contexts, bool dependent, float spread, uint32_t outlier,
                           uint32_t seed) {
  Matrix m;
  m.shape = shape;
  m.dependent = dependent;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const uint32_t row_classes = static_cast<uint32_t>(contexts + 1) / 2, column_classes = contexts + 1 - row_classes;
  for (uint32_t r = 0; r < shape.rows; ++r) m.row_class.push_back(random() % row_classes);
  for (uint32_t c = 0; c < shape.columns; ++c) m.column_class.push_back(random() % column_classes);
  for (uint32_t r = 0; r < shape.rows; ++r) {
    for (uint32_t c = 0; c < shape.columns; ++c) {
      const int context = m.row_class[r] + m.column_class[c];
      float value = spread * (1 + static_cast<float>(context) / contexts) * normal(random);
      if (outlier != 0 && random() % outlier == 0) value *= 100;
      m.k.push_back(static_cast<int32_t>(std::lround(value)));
    }
  }
  FitTables(m, contexts);
  return m;
}

// Runs `check` with the plain kernels and with those of each instruction set in turn, then restores the defaults.
template <typename Check>
void OnEveryKernel(Check check) {
  ForceScalarKernels(true);
  check("PLAIN");
  ForceScalarKernels(false);
  for (int64_t targets = KernelTargets(); targets != 0; targets &= targets - 1) {
    UseKernelTarget(targets & -targets);
    check(SimdKernels().name);
  }
  UseKernelTarget(0);
}

}  // namespace nashswarm::coding

#endif  // NASHSWARM_TESTS_UNIT_CODING_TEST_DATA_H_
