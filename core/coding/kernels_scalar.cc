// The plain kernels: the reference that the vector kernels agree with.
#include <cstring>

#include "core/base/half.h"
#include "core/coding/kernels.h"
#include "core/coding/trellis.h"

namespace nashswarm::coding {
namespace {

template <Element kElement>
inline void Store(float n, float column_scale, float row_scale, size_t column, void* out) {
  const float weight = (n * column_scale) * row_scale;
  if constexpr (kElement == Element::kF32) static_cast<float*>(out)[column] = weight;
  if constexpr (kElement == Element::kF16) static_cast<uint16_t*>(out)[column] = FloatToHalf(weight);
  if constexpr (kElement == Element::kBF16) static_cast<uint16_t*>(out)[column] = FloatToBFloat16(weight);
}

// Decodes the symbol of column c from lane state x; renormalises x.
template <bool kDependent, Element kElement>
inline void DecodeOne(Row& row, uint32_t c, uint32_t& x, const uint8_t*& next) {
  const int state = kDependent ? static_cast<int>(row.states[c] >> 1) : 0;
  const uint32_t table = row.offsets[c] + (kDependent ? QuantizerOf(state) * kSlots : 0);
  const Slot slot = row.slots[table + (x & (kSlots - 1))];
  x = ((slot & 0xfff) + 1) * (x >> kPrecisionBits) + ((slot >> 12) & 0xfff);
  uint16_t word;
  std::memcpy(&word, next, 2);
  const bool low = x < kLeastState;
  x = low ? x << 16 | word : x;
  next += low ? 2 : 0;
  const int32_t k = static_cast<int32_t>(slot) >> 24;
  if (kDependent) row.states[c] = static_cast<uint32_t>(NextState(state, k)) << 1;
  if (k == kEscapeSymbol) [[unlikely]] row.escapes[row.escape_count++] = c;
  if constexpr (kElement == Element::kInt32) {
    static_cast<int32_t*>(row.out)[c] = k;
  } else {
    const int sign = (k > 0) - (k < 0);
    const int n = kDependent ? 2 * k - (QuantizerOf(state) != 0 ? sign : 0) : k;
    Store<kElement>(static_cast<float>(n), row.column_scale[c], row.row_scale, c, row.out);
  }
}

template <bool kDependent, Element kElement>
bool DecodeRow(Row& row, Words& words, uint32_t* x) {
  const uint32_t lanes = static_cast<uint32_t>(row.lanes);
  const uint8_t* next = words.next;
  for (uint32_t c = row.begin; c < row.columns;) {
    if (next > words.limit) {
      words.next = next;
      if (!words.Refill()) return false;
      next = words.next;
    }
    const uint32_t group = row.columns - c < lanes ? row.columns - c : lanes;
    for (uint32_t lane = 0; lane < group; ++lane, ++c) DecodeOne<kDependent, kElement>(row, c, x[lane], next);
  }
  words.next = next;
  return true;
}

template <bool kDependent>
constexpr RowKernel kRowKernels[kElements] = {
    DecodeRow<kDependent, Element::kInt32>, DecodeRow<kDependent, Element::kF32>,
    DecodeRow<kDependent, Element::kF16>, DecodeRow<kDependent, Element::kBF16>};

}  // namespace

void StoreWeight(Element element, float n, float column_scale, float row_scale, size_t column, void* out) {
  switch (element) {
    case Element::kInt32: return;
    case Element::kF32: return Store<Element::kF32>(n, column_scale, row_scale, column, out);
    case Element::kF16: return Store<Element::kF16>(n, column_scale, row_scale, column, out);
    case Element::kBF16: return Store<Element::kBF16>(n, column_scale, row_scale, column, out);
  }
}

const Kernels& ScalarKernels() {
  static constexpr Kernels kKernels = {
      "PLAIN",
      {{kRowKernels<false>[0], kRowKernels<false>[1], kRowKernels<false>[2], kRowKernels<false>[3]},
       {kRowKernels<true>[0], kRowKernels<true>[1], kRowKernels<true>[2], kRowKernels<true>[3]}}};
  return kKernels;
}

}  // namespace nashswarm::coding
