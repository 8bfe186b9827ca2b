// The inner loops of column.h behind a table of functions, and what its twins (column_scalar.cc, column_simd.cc) share.
//
// Agreement to the bit: a lane does what the plain loop does, in the same order, and nothing is fused
// (-ffp-contract=off).
#ifndef NASHSWARM_CORE_NSQ_COLUMN_KERNELS_H_
#define NASHSWARM_CORE_NSQ_COLUMN_KERNELS_H_

#include <cstdint>
#include <string_view>

#include "core/nsq/column.h"

namespace nashswarm::nsq {

// Beyond it a value saturates. Its integer fits 16 bits of a decision.
constexpr float kGreatest = 60000.0f;

// A decision: bits 0..7 which parity leads to each of the eight states, bits 8..11 whether the upper of two neighbours was
// the better one in each set, bits 12.. the whole part of the value.
constexpr int kUpperBit = 8, kWholeBit = 12;

// Costs of a path are made relative to the best one after so many rows: single precision would lose the small differences
// beside the sum of a long column.
constexpr int kRebaseRows = 128;

// The neighbours of a value with whole part m in the set of quantizer q and parity p: the interval they enclose is number
// t = max(m + q - 2 p, 0) / 4, the magnitudes are 2 t + p and two more, and they stand for these numbers of steps.
constexpr int Interval(int quantizer, int parity, int whole) {
  const int from_first = whole + quantizer - 2 * parity;
  return (from_first > 0 ? from_first : 0) >> 2;
}
constexpr int LowerSteps(int quantizer, int parity, int interval) {
  const int steps = 4 * interval + 2 * parity - quantizer;
  return steps > 0 ? steps : 0;
}
constexpr int UpperSteps(int quantizer, int parity, int interval) { return 4 * interval + 4 + 2 * parity - quantizer; }

struct ColumnKernels {
  std::string_view name;
  void (*plain)(const ColumnsProblem&, ColumnsChoice*);
  void (*dependent)(const ColumnsProblem&, uint32_t* decisions, ColumnsChoice*);
  void (*feed)(const float* errors, const float* factors, uint32_t factor_stride, int count, int rows, float* into);
};

const ColumnKernels& ScalarColumnKernels();
const ColumnKernels& SimdColumnKernels();  // for the best instruction set of this machine

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_COLUMN_KERNELS_H_
