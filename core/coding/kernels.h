// The inner loops of decoding, behind a table of functions so that one decoder runs on every instruction set. All of
// them compute the same bits: integers are exact, and a weight's two products are rounded one by one, never fused.
#ifndef NASHSWARM_CORE_CODING_KERNELS_H_
#define NASHSWARM_CORE_CODING_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/types/span.h"
#include "core/coding/decode_tables.h"
#include "core/coding/payload.h"

namespace nashswarm::coding {

// What a row is decoded into: the integers k, or scaled weights as Output says.
enum class Element { kInt32, kF32, kF16, kBF16 };
constexpr int kElements = 4;

// The words of a tile, read a group of lanes at a time without looking where they end: up to kAhead bytes past `next`
// can be read whenever next <= limit. The last words therefore move to `tail`, which has zeros behind them.
class Words {
 public:
  static constexpr ptrdiff_t kAhead = 2 * kMaxLanes + 32;  // one word a lane, and a vector read from there

  explicit Words(absl::Span<const uint8_t> bytes) : next(bytes.data()), end_(next + bytes.size()) {
    if (bytes.size() < kAhead) {
      MoveToTail();
    } else {
      limit = end_ - kAhead;
    }
  }
  Words(const Words&) = delete;

  // To call when next > limit. False: more was read than there is.
  bool Refill() {
    if (end_ == limit) return false;  // in the tail already
    MoveToTail();
    return true;
  }
  bool AtEnd() const { return next == end_; }

  const uint8_t* next;
  const uint8_t* limit;

 private:
  void MoveToTail() {
    size_t size = 0;
    for (; next != end_; ++next) tail_[size++] = *next;
    next = tail_;
    limit = end_ = tail_ + size;
  }

  const uint8_t* end_;
  uint8_t tail_[2 * kAhead] = {};
};

// One row of a tile, and where its decoding stands.
struct Row {
  const Slot* slots;             // the tables of the row's class
  const uint32_t* offsets;       // per column: where its class's tables begin in `slots`
  uint32_t* states;              // per column: twice its state, if dependent
  uint32_t columns;
  uint32_t begin = 0;            // columns before it are decoded already; a multiple of `lanes`
  int lanes;
  const float* column_scale;     // unless Element::kInt32
  float row_scale;
  void* out;
  uint32_t* escapes;             // room for all columns: receives those that hold an escape, ascending; their k is
  size_t escape_count = 0;       // taken as even, and their output is to be set
};

// Decodes a row; x: the state of every lane. False: the words ran out.
using RowKernel = bool (*)(Row& row, Words& words, uint32_t* x);

struct Kernels {
  std::string_view name;
  RowKernel decode[2][kElements];  // [dependent][element]
};

const Kernels& ScalarKernels();
const Kernels& SimdKernels();    // for the best instruction set of this machine
const Kernels& ActiveKernels();  // one of the two, see ForceScalarKernels

// Decodes with the plain kernels from now on, or again with the best ones. For tests and measurements; thread-hostile.
void ForceScalarKernels(bool force);
// The instruction sets that this binary has kernels for and this machine runs: Highway target bits.
int64_t KernelTargets();
// Makes SimdKernels() use that one; 0 returns to the best. For tests; thread-hostile.
void UseKernelTarget(int64_t target);

// The scalar conversion of one weight; kernels and escapes share it. `out` points at the first element of the row.
void StoreWeight(Element element, float n, float column_scale, float row_scale, size_t column, void* out);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_KERNELS_H_
