// The vector twin of kernels_scalar.cc, compiled once per instruction set; see kernels.h for why results agree to the
// bit.
#include <cmath>
#include <limits>

#include "core/game/routing/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/game/routing/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::routing {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kLanes>;
using V = hn::Vec<D>;
using DI = hn::Rebind<int32_t, D>;
using VI = hn::Vec<DI>;
using DD = hn::CappedTag<double, kPartialDoubles>;
using DF = hn::Rebind<float, DD>;  // as many floats as DD has doubles

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }
HWY_INLINE V Get(const float* p) { return hn::LoadU(D(), p); }
HWY_INLINE VI Get(const int32_t* p) { return hn::LoadU(DI(), p); }
HWY_INLINE void Put(V v, float* p) { hn::StoreU(v, D(), p); }
HWY_INLINE void Put(VI v, int32_t* p) { hn::StoreU(v, DI(), p); }

template <typename M>
HWY_INLINE VI Choose(M mask, VI yes, VI no) {
  return hn::IfThenElse(hn::RebindMask(DI(), mask), yes, no);
}

bool Finite(const float* x, size_t n) {
  const size_t step = hn::Lanes(D());
  const V greatest = Const(std::numeric_limits<float>::max());
  size_t i = 0;
  for (; i + step <= n; i += step) {
    if (!hn::AllTrue(D(), hn::Le(hn::Abs(Get(x + i)), greatest))) return false;
  }
  for (; i < n; ++i) {
    if (!std::isfinite(x[i])) return false;
  }
  return true;
}

// Puts x, number c of its lane, into the sorted slots 0..last, of which the last falls out. From the end, so that it
// stops at the first slot that no lane's x belongs before.
HWY_INLINE void Insert(V x, VI c, size_t last, float* values, int32_t* ids) {
  V value = Get(values + last * kLanes);
  VI id = Get(ids + last * kLanes);
  auto before = hn::Gt(x, value);
  for (size_t s = last; !hn::AllFalse(D(), before); --s) {
    if (s == 0) {
      Put(hn::IfThenElse(before, x, value), values);
      Put(Choose(before, c, id), ids);
      return;
    }
    const V next_value = Get(values + (s - 1) * kLanes);
    const VI next_id = Get(ids + (s - 1) * kLanes);
    const auto before_next = hn::Gt(x, next_value);
    Put(hn::IfThenElse(before, hn::IfThenElse(before_next, next_value, x), value), values + s * kLanes);
    Put(Choose(before, Choose(before_next, next_id, c), id), ids + s * kLanes);
    value = next_value;
    id = next_id;
    before = before_next;
  }
}

void Greatest(const float* rows, size_t stride, size_t count, size_t keep, float* values, int32_t* ids) {
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(D())) {
    for (size_t s = 0; s < keep; ++s) {
      Put(Const(-std::numeric_limits<float>::infinity()), values + s * kLanes + lane);
      Put(hn::Set(DI(), -1), ids + s * kLanes + lane);
    }
    for (size_t c = 0; c < count; ++c) {
      const VI number = hn::Set(DI(), static_cast<int32_t>(c));
      Insert(Get(rows + c * stride + lane), number, HWY_MIN(c, keep - 1), values + lane, ids + lane);
    }
  }
}

void Cosines(const float* products, size_t experts, const int32_t* ids, size_t group, float* sums, float* cosines) {
  const VI stride = hn::Set(DI(), static_cast<int32_t>(experts));
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(D())) {
    const auto id = [&](size_t slot) HWY_ATTR { return Get(ids + slot * kLanes + lane); };
    const auto diagonal = [&](size_t slot) HWY_ATTR {
      return hn::GatherIndex(D(), products, hn::Add(hn::Mul(id(slot), stride), id(slot)));
    };
    for (size_t a = 0; a < group; ++a) Put(diagonal(a), sums + a * kLanes + lane);
    for (size_t a = 0; a < group; ++a) {
      const VI row = hn::Mul(id(a), stride);
      V sum = Get(sums + a * kLanes + lane);
      for (size_t b = a + 1; b < group; ++b) {
        const V product = hn::GatherIndex(D(), products, hn::Add(row, id(b)));
        float* other = sums + b * kLanes + lane;
        sum = hn::Add(sum, product);
        Put(hn::Add(Get(other), product), other);
      }
      Put(sum, sums + a * kLanes + lane);
    }
    V total = hn::Zero(D());
    for (size_t a = 0; a < group; ++a) total = hn::Add(total, Get(sums + a * kLanes + lane));
    const V length = hn::Sqrt(hn::Max(total, hn::Zero(D())));
    for (size_t a = 0; a < group; ++a) {
      const V norms = hn::Mul(hn::Sqrt(diagonal(a)), length);
      const V ratio = hn::Div(Get(sums + a * kLanes + lane), norms);
      const V cosine = hn::Min(hn::Max(ratio, Const(-1.0f)), Const(1.0f));
      Put(hn::IfThenElseZero(hn::Gt(norms, Const(kTinyNorms)), cosine), cosines + a * kLanes + lane);
    }
  }
}

template <bool kAgreeing>
HWY_INLINE uint32_t DifferOf(const BlockView& block, float margin) {
  const V infinity = Const(std::numeric_limits<float>::infinity());
  uint32_t bits = 0;
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(D())) {
    V least_chosen = infinity, greatest_other = hn::Neg(infinity);
    const VI lanes = hn::Iota(DI(), static_cast<int32_t>(lane));
    for (size_t s = 0; s < block.group; ++s) {
      const VI choice = Get(block.choices + s * kLanes + lane);
      V worth = hn::Sub(Get(block.values + s * kLanes + lane), hn::GatherIndex(D(), block.prices, choice));
      if constexpr (kAgreeing) {
        static_assert(kLanes == 16);  // the shift
        const VI place = hn::Add(hn::ShiftLeft<4>(hn::ShiftRight<1>(choice)), lanes);
        const V agreeing = hn::ConvertTo(D(), hn::GatherIndex(DI(), block.agreeing, place));
        worth = hn::Add(worth, hn::Mul(Const(block.agreement), agreeing));
      }
      const auto chosen = hn::RebindMask(D(), hn::TestBit(choice, hn::Set(DI(), 1)));
      least_chosen = hn::Min(least_chosen, hn::IfThenElse(chosen, worth, infinity));
      greatest_other = hn::Max(greatest_other, hn::IfThenElse(chosen, hn::Neg(infinity), worth));
    }
    uint8_t packed[8] = {};  // StoreMaskBits may touch 8
    hn::StoreMaskBits(D(), hn::Gt(hn::Sub(greatest_other, least_chosen), Const(margin)), packed);
    bits |= (packed[0] | static_cast<uint32_t>(packed[1]) << 8) << lane;
  }
  return bits;
}

uint32_t Differ(const BlockView& block, float margin) {
  return block.agreeing != nullptr ? DifferOf<true>(block, margin) : DifferOf<false>(block, margin);
}

// Four rows by two vectors at a time: eight sums in registers hide the time of an addition.
HWY_INLINE void ProductTile(const float* x, size_t width, size_t i, size_t j, float* products) {
  const size_t step = hn::Lanes(D());
  V s00 = hn::Zero(D()), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  for (size_t w = 0; w < width; ++w) {
    const float* row = x + w * kNeighbourBlock;
    const V a = Get(row + j), b = Get(row + j + step);
    const V x0 = Const(row[i]), x1 = Const(row[i + 1]), x2 = Const(row[i + 2]), x3 = Const(row[i + 3]);
    s00 = hn::Add(s00, hn::Mul(x0, a));
    s01 = hn::Add(s01, hn::Mul(x0, b));
    s10 = hn::Add(s10, hn::Mul(x1, a));
    s11 = hn::Add(s11, hn::Mul(x1, b));
    s20 = hn::Add(s20, hn::Mul(x2, a));
    s21 = hn::Add(s21, hn::Mul(x2, b));
    s30 = hn::Add(s30, hn::Mul(x3, a));
    s31 = hn::Add(s31, hn::Mul(x3, b));
  }
  float* to = products + i * kNeighbourBlock + j;
  Put(s00, to);
  Put(s01, to + step);
  Put(s10, to + kNeighbourBlock);
  Put(s11, to + kNeighbourBlock + step);
  Put(s20, to + 2 * kNeighbourBlock);
  Put(s21, to + 2 * kNeighbourBlock + step);
  Put(s30, to + 3 * kNeighbourBlock);
  Put(s31, to + 3 * kNeighbourBlock + step);
}

void TokenProducts(const float* x, size_t width, size_t count, float* products) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t j = 0; j < kNeighbourBlock; j += 2 * step) ProductTile(x, width, i, j, products);
  }
  for (; i < count; ++i) {
    for (size_t j = 0; j < kNeighbourBlock; j += step) {
      V sum = hn::Zero(D());
      for (size_t w = 0; w < width; ++w) {
        const float* row = x + w * kNeighbourBlock;
        sum = hn::Add(sum, hn::Mul(Const(row[i]), Get(row + j)));
      }
      Put(sum, products + i * kNeighbourBlock + j);
    }
  }
}

double Dot(const float* a, const float* b, size_t n) {
  double partial[kPartialDoubles] = {};
  const size_t whole = n - n % kPartialDoubles;
  for (size_t k = 0; k < kPartialDoubles; k += hn::Lanes(DD())) {
    auto sum = hn::Zero(DD());
    for (size_t i = k; i < whole; i += kPartialDoubles) {
      const auto x = hn::PromoteTo(DD(), hn::LoadU(DF(), a + i)), y = hn::PromoteTo(DD(), hn::LoadU(DF(), b + i));
      sum = hn::Add(sum, hn::Mul(x, y));
    }
    hn::StoreU(sum, DD(), partial + k);
  }
  for (size_t i = whole; i < n; ++i) partial[i - whole] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (const double p : partial) sum += p;
  return sum;
}

}  // namespace

const Kernels& TargetKernels() {
  static const Kernels kernels = {hwy::TargetName(HWY_TARGET), Finite, Greatest, Cosines, Differ, TokenProducts, Dot};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::routing
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::routing {

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

int64_t KernelTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseKernelTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::routing

#endif  // HWY_ONCE
