// The vector twin of kernels_scalar.cc, compiled once per instruction set: the lanes of a group lie in a few vectors,
// whose chains of look-up, multiplication and renormalisation run side by side.
#include <array>
#include <cstring>

#include "core/coding/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/coding/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

#ifndef NASHSWARM_CORE_CODING_EXPANSIONS
#define NASHSWARM_CORE_CODING_EXPANSIONS
namespace nashswarm::coding {

// Spreads words over the lanes that need one: entry `bits` is the byte shuffle that moves word j of a vector of eight
// to the j-th lane whose bit is set, and zero to the other lanes. (AVX-512 has an instruction for it.)
struct alignas(16) Expansion {
  uint8_t bytes[16];
};
inline constexpr std::array<Expansion, 256> kExpansions = [] {
  std::array<Expansion, 256> table{};
  for (int bits = 0; bits < 256; ++bits) {
    uint8_t word = 0;
    for (int lane = 0; lane < 8; ++lane) {
      const bool needs = ((bits >> lane) & 1) != 0;
      table[bits].bytes[2 * lane] = needs ? static_cast<uint8_t>(2 * word) : 0x80;
      table[bits].bytes[2 * lane + 1] = needs ? static_cast<uint8_t>(2 * word + 1) : 0x80;
      word = static_cast<uint8_t>(word + (needs ? 1 : 0));
    }
  }
  return table;
}();

// Twice the state after: by (twice the state before) | parity of k.
inline constexpr std::array<uint8_t, 16> kNextStates = {0, 2, 14, 12, 2, 0, 12, 14, 4, 6, 10, 8, 6, 4, 8, 10};

}  // namespace nashswarm::coding
#endif

HWY_BEFORE_NAMESPACE();
namespace nashswarm::coding {
namespace HWY_NAMESPACE {
namespace {

// Targets without fixed-size vectors and byte shuffles decode with the plain kernels.
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3
constexpr int kWidth = 16;
#elif HWY_TARGET == HWY_AVX2
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

template <int kLanes>
struct Types {
  static constexpr int kSize = kLanes < kWidth ? kLanes : kWidth;
  static constexpr int kVectors = kLanes / kSize;
  using U = hn::FixedTag<uint32_t, kSize>;
  using I = hn::FixedTag<int32_t, kSize>;
  using F = hn::FixedTag<float, kSize>;
  using Word = hn::FixedTag<uint16_t, kSize>;
};

// Eight or four lanes: the words that the lanes in `low` take from `next`, which moves past them.
template <class T, class M>
HWY_INLINE hn::Vec<typename T::U> TakeWords(T, M low, const uint8_t*& next) {
  const typename T::U d;
  const typename T::Word words;
#if HWY_TARGET <= HWY_AVX3
  if constexpr (T::kSize == 16) {
    const __mmask16 bits = low.raw;
    const __m256i loaded = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next));
    next += 2 * hwy::PopCount(uint64_t{bits});
    return hn::Vec<typename T::U>{_mm512_maskz_expand_epi32(bits, _mm512_cvtepu16_epi32(loaded))};
  }
#endif
#if HWY_TARGET == HWY_AVX2
  const uint32_t bits = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(low.raw)));
#else
  uint8_t stored[8] = {};
  hn::StoreMaskBits(d, low, stored);
  const uint32_t bits = stored[0];
#endif
  const hn::Repartition<uint8_t, decltype(words)> bytes;
  const auto loaded = hn::LoadU(bytes, next);
  const auto shuffle = hn::LoadU(bytes, kExpansions[bits].bytes);
  next += 2 * hwy::PopCount(uint64_t{bits});
  return hn::PromoteTo(d, hn::BitCast(words, hn::TableLookupBytes(loaded, shuffle)));
}

template <class T>
HWY_INLINE hn::Vec<typename T::U> LookUp(T, const Slot* slots, hn::Vec<typename T::U> index) {
  const typename T::U d;
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
  alignas(16) uint32_t i[4];
  hn::Store(index, d, i);
  return hn::Vec<typename T::U>{_mm_set_epi32(static_cast<int>(slots[i[3]]), static_cast<int>(slots[i[2]]),
                                              static_cast<int>(slots[i[1]]), static_cast<int>(slots[i[0]]))};
#else
  return hn::GatherIndex(d, slots, hn::BitCast(typename T::I(), index));
#endif
}

// As FloatToHalf in core/base/half.h, step by step.
template <class T>
HWY_INLINE hn::Vec<typename T::Word> ToHalf(T, hn::Vec<typename T::F> weight) {
  const typename T::Word words;
#if HWY_TARGET <= HWY_AVX2
  return hn::BitCast(words, hn::DemoteTo(hn::Rebind<hwy::float16_t, typename T::F>(), weight));
#else
  const typename T::U d;
  const typename T::I i;
  const auto bits = hn::BitCast(d, weight);
  const auto magnitude = hn::And(bits, hn::Set(d, 0x7fffffff));
  const auto compared = hn::BitCast(i, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 1));
  const auto rounded = hn::Add(hn::Add(magnitude, hn::Set(d, 0xfff)), odd);
  const auto normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(d, 0x38000000)));
  const auto shifted = hn::Add(hn::BitCast(typename T::F(), magnitude), hn::Set(typename T::F(), 0.5f));
  const auto subnormal = hn::Sub(hn::BitCast(d, shifted), hn::Set(d, 0x3f000000));
  auto half = hn::IfThenElse(hn::RebindMask(d, hn::Lt(compared, hn::Set(i, 0x38800000))), subnormal, normal);
  half = hn::IfThenElse(hn::RebindMask(d, hn::Gt(compared, hn::Set(i, 0x477fefff))), hn::Set(d, 0x7c00), half);
  half = hn::IfThenElse(hn::RebindMask(d, hn::Gt(compared, hn::Set(i, 0x7f800000))), hn::Set(d, 0x7e00), half);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000));
  return hn::DemoteTo(words, hn::BitCast(i, hn::Or(half, sign)));
#endif
}

// As FloatToBFloat16.
template <class T>
HWY_INLINE hn::Vec<typename T::Word> ToBFloat16(T, hn::Vec<typename T::F> weight) {
  const typename T::U d;
  const typename T::I i;
  const auto bits = hn::BitCast(d, weight);
  const auto top = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(top, hn::Set(d, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(d, 0x7fff)), odd));
  const auto nan = hn::Gt(hn::BitCast(i, hn::And(bits, hn::Set(d, 0x7fffffff))), hn::Set(i, 0x7f800000));
  const auto result = hn::IfThenElse(hn::RebindMask(d, nan), hn::Or(top, hn::Set(d, 64)), rounded);
  return hn::DemoteTo(typename T::Word(), hn::BitCast(i, result));
}

// One vector of lanes. Its parts are called in turn for all vectors of a group, so that their latencies overlap.
template <int kLanes, bool kDependent, Element kElement>
struct Decoder {
  using T = Types<kLanes>;
  using U = typename T::U;
  using I = typename T::I;
  using F = typename T::F;
  using VU = hn::Vec<U>;
  using VI = hn::Vec<I>;

  // Decodes the symbols at column c with lane states x. Steps the columns' states on, returns k and writes the output.
  static HWY_INLINE VI Symbols(const Row& row, uint32_t c, VU& x) {
    const U d;
    const I i;
    VU index = hn::Add(hn::And(x, hn::Set(d, kSlots - 1)), hn::LoadU(d, row.offsets + c));
    VU state = hn::Zero(d), quantizer = state;
    if constexpr (kDependent) {
      state = hn::LoadU(d, row.states + c);
      quantizer = hn::And(hn::ShiftRight<1>(state), hn::Set(d, 1));
      index = hn::Add(index, hn::ShiftLeft<kPrecisionBits>(quantizer));
    }
    const VU slot = LookUp(T(), row.slots, index);
    const VU twelve_bits = hn::Set(d, 0xfff);
    const VU high = hn::ShiftRight<kPrecisionBits>(x);
    const VU bias = hn::And(hn::ShiftRight<12>(slot), twelve_bits);
    x = hn::Add(hn::Mul(hn::And(slot, twelve_bits), high), hn::Add(high, bias));
    const VI k = hn::ShiftRight<24>(hn::BitCast(i, slot));
    if constexpr (kDependent) {
      // The other bytes of a state are zero, and remain so: the first entry of the table is zero.
      const hn::Repartition<uint8_t, U> bytes;
      const VU key = hn::Or(state, hn::And(hn::BitCast(d, k), hn::Set(d, 1)));
      const auto next = hn::TableLookupBytes(hn::LoadDup128(bytes, kNextStates.data()), hn::BitCast(bytes, key));
      hn::StoreU(hn::BitCast(d, next), d, row.states + c);
    }
    Store(row, c, k, hn::BitCast(i, quantizer));
    return k;
  }

  static HWY_INLINE void Store(const Row& row, uint32_t c, VI k, VI quantizer) {
    const I i;
    const F f;
    if constexpr (kElement == Element::kInt32) {
      hn::StoreU(k, i, static_cast<int32_t*>(row.out) + c);
      return;
    }
    VI n = k;
    if constexpr (kDependent) {  // 2 k - (sign of k if quantizer 1)
      const VI sign = hn::Min(hn::Max(k, hn::Neg(quantizer)), quantizer);
      n = hn::Sub(hn::Add(k, k), sign);
    }
    const auto scaled = hn::Mul(hn::ConvertTo(f, n), hn::LoadU(f, row.column_scale + c));
    const auto weight = hn::Mul(scaled, hn::Set(f, row.row_scale));
    const typename T::Word words;
    uint16_t* const half = static_cast<uint16_t*>(row.out) + c;
    if constexpr (kElement == Element::kF32) hn::StoreU(weight, f, static_cast<float*>(row.out) + c);
    if constexpr (kElement == Element::kF16) hn::StoreU(ToHalf(T(), weight), words, half);
    if constexpr (kElement == Element::kBF16) hn::StoreU(ToBFloat16(T(), weight), words, half);
  }

  static HWY_INLINE void Renormalize(VU& x, const uint8_t*& next) {
    const U d;
    const auto low = hn::Eq(hn::ShiftRight<16>(x), hn::Zero(d));
    const VU words = TakeWords(T(), low, next);
    x = hn::IfThenElse(low, hn::Or(hn::ShiftLeft<16>(x), words), x);
  }

  // Notes the columns of a vector that hold escapes.
  static HWY_NOINLINE void NoteEscapes(Row& row, uint32_t c, VI k) {
    int32_t values[T::kSize];
    hn::StoreU(k, I(), values);
    for (int lane = 0; lane < T::kSize; ++lane) {
      if (values[lane] == kEscapeSymbol) row.escapes[row.escape_count++] = c + lane;
    }
  }
};

// The last vector of a group begins before the words of the last kSize lanes and is kSize words long.
static_assert(Words::kAhead >= 2 * kMaxLanes);

template <int kLanes, bool kDependent, Element kElement>
bool DecodeGroups(Row& row, Words& words, uint32_t* states) {
  using Lanes = Decoder<kLanes, kDependent, kElement>;
  using T = typename Lanes::T;
  constexpr int kVectors = T::kVectors, kSize = T::kSize;
  const typename T::U d;
  const typename T::I i;
  typename Lanes::VU x[kVectors];
  for (int v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, states + v * kSize);
  const uint8_t* next = words.next;
  const Row view = row;  // a copy that no store can change: its pointers stay in registers
  const uint32_t end = row.columns - row.columns % kLanes;
  for (uint32_t c = view.begin; c < end; c += kLanes) {
    if (HWY_UNLIKELY(next > words.limit)) {
      words.next = next;
      if (!words.Refill()) return false;
      next = words.next;
    }
    typename Lanes::VI k[kVectors];
    for (int v = 0; v < kVectors; ++v) k[v] = Lanes::Symbols(view, c + v * kSize, x[v]);
    for (int v = 0; v < kVectors; ++v) Lanes::Renormalize(x[v], next);
    auto least = k[0];
    for (int v = 1; v < kVectors; ++v) least = hn::Min(least, k[v]);
    if (HWY_UNLIKELY(!hn::AllFalse(i, hn::Eq(least, hn::Set(i, kEscapeSymbol))))) {
      for (int v = 0; v < kVectors; ++v) Lanes::NoteEscapes(row, c + v * kSize, k[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) hn::StoreU(x[v], d, states + v * kSize);
  words.next = next;
  row.begin = end;
  return true;
}

template <bool kDependent, Element kElement>
bool DecodeRow(Row& row, Words& words, uint32_t* x) {
  if (row.lanes == 32 && !DecodeGroups<32, kDependent, kElement>(row, words, x)) return false;
  if (row.lanes == 8 && !DecodeGroups<8, kDependent, kElement>(row, words, x)) return false;
  if (row.begin == row.columns) return true;
  return ScalarKernels().decode[kDependent][static_cast<int>(kElement)](row, words, x);  // what fills no group
}

Kernels MakeKernels() {
  return {hwy::TargetName(HWY_TARGET),
          {{DecodeRow<false, Element::kInt32>, DecodeRow<false, Element::kF32>, DecodeRow<false, Element::kF16>,
            DecodeRow<false, Element::kBF16>},
           {DecodeRow<true, Element::kInt32>, DecodeRow<true, Element::kF32>, DecodeRow<true, Element::kF16>,
            DecodeRow<true, Element::kBF16>}}};
}

#else

Kernels MakeKernels() {
  Kernels kernels = ScalarKernels();
  kernels.name = hwy::TargetName(HWY_TARGET);
  return kernels;
}

#endif

const Kernels& TargetKernels() {
  static const Kernels kernels = MakeKernels();
  return kernels;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::coding
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::coding {

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

int64_t KernelTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseKernelTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::coding

#endif  // HWY_ONCE
