// The vector twin of kernels_scalar.cc, compiled once per instruction set; see kernels.h for why results agree to the bit.
// Elements that fill no vector go through elements.h, one at a time.
#include <algorithm>
#include <cmath>

#include "core/forward/elements.h"
#include "core/forward/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/forward/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::forward {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kPartialFloats>;
using V = hn::Vec<D>;
using DD = hn::CappedTag<double, kPartialDoubles>;
using DF = hn::Rebind<float, DD>;  // as many floats as DD has doubles

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }
HWY_INLINE V Get(const float* p) { return hn::LoadU(D(), p); }
HWY_INLINE void Put(V v, float* p) { hn::StoreU(v, D(), p); }

HWY_INLINE V Exp(V x) {
  const hn::Rebind<int32_t, D> di;
  const V clamped = hn::Min(x, Const(kExpHighest));
  const V n = hn::Round(hn::Mul(clamped, Const(kInverseLn2)));
  const V r = hn::Sub(hn::Sub(clamped, hn::Mul(n, Const(kLn2High))), hn::Mul(n, Const(kLn2Low)));
  V p = Const(kExpTerms[0]);
  for (int k = 1; k < 8; ++k) p = hn::Add(hn::Mul(p, r), Const(kExpTerms[k]));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  const V power = hn::Mul(p, hn::BitCast(D(), exponent));
  const V result = hn::IfThenZeroElse(hn::Lt(x, Const(kExpLowest)), power);
  return hn::IfThenElse(hn::Eq(x, x), result, x);  // Min may have hidden a NaN
}

HWY_INLINE V SiluV(V x) { return hn::Div(x, hn::Add(Const(1.0f), Exp(hn::Neg(x)))); }

HWY_INLINE V GeluV(V x) {
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V inner = hn::Add(x, hn::Mul(Const(kGeluCubic), cube));
  return hn::Div(x, hn::Add(Const(1.0f), Exp(hn::Mul(Const(kGeluSlope), inner))));
}

HWY_INLINE V ReluSquaredV(V x) {
  const V above = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(D())), x);  // NaN stays
  return hn::Mul(above, above);
}

// partial[k] += sum of of(x[i]) over i % kPartialDoubles = k, `of` both on vectors and on single doubles.
template <typename Of>
HWY_INLINE double SumDoubles(const float* x, size_t n, Of of) {
  double partial[kPartialDoubles] = {};
  const size_t whole = n - n % kPartialDoubles;
  for (size_t k = 0; k < kPartialDoubles; k += hn::Lanes(DD())) {
    auto sum = hn::Zero(DD());
    for (size_t i = k; i < whole; i += kPartialDoubles) {
      sum = hn::Add(sum, of(hn::PromoteTo(DD(), hn::LoadU(DF(), x + i))));
    }
    hn::StoreU(sum, DD(), partial + k);
  }
  for (size_t i = whole; i < n; ++i) {
    const hn::CappedTag<double, 1> one;
    partial[i - whole] += hn::GetLane(of(hn::Set(one, static_cast<double>(x[i]))));
  }
  return Total(partial, kPartialDoubles);
}

struct Itself {
  template <typename T>
  HWY_INLINE T operator()(T x) const { return x; }
};

struct Squared {
  template <typename T>
  HWY_INLINE T operator()(T x) const { return hn::Mul(x, x); }
};

struct SquaredDistance {
  double from;
  template <typename T>
  HWY_INLINE T operator()(T x) const {
    const T centred = hn::Sub(x, hn::Set(hn::DFromV<T>(), from));
    return hn::Mul(centred, centred);
  }
};

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* y) {
  const double mean = SumDoubles(x, n, Squared()) / static_cast<double>(n);
  const float inverse = static_cast<float>(1 / std::sqrt(mean + epsilon));
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) Put(hn::Mul(hn::Mul(Get(x + i), Const(inverse)), Get(weight + i)), y + i);
  for (; i < n; ++i) y[i] = x[i] * inverse * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* y) {
  const double mean = SumDoubles(x, n, Itself()) / static_cast<double>(n);
  const double variance = SumDoubles(x, n, SquaredDistance{mean}) / static_cast<double>(n);
  const float shift = static_cast<float>(mean), inverse = static_cast<float>(1 / std::sqrt(variance + epsilon));
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) {
    const V normed = hn::Mul(hn::Mul(hn::Sub(Get(x + i), Const(shift)), Const(inverse)), Get(weight + i));
    Put(hn::Add(normed, Get(bias + i)), y + i);
  }
  for (; i < n; ++i) y[i] = (x[i] - shift) * inverse * weight[i] + bias[i];
}

struct Silu {
  HWY_INLINE V operator()(V x) const { return SiluV(x); }
  float operator()(float x) const { return SiluOf(x); }
};

struct Gelu {
  HWY_INLINE V operator()(V x) const { return GeluV(x); }
  float operator()(float x) const { return GeluOf(x); }
};

struct ReluSquared {
  HWY_INLINE V operator()(V x) const { return ReluSquaredV(x); }
  float operator()(float x) const { return ReluSquaredOf(x); }
};

template <typename Of>
void Gate(const float* x, const float* up, size_t n, float* y) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) Put(hn::Mul(Of()(Get(x + i)), Get(up + i)), y + i);
  for (; i < n; ++i) y[i] = Of()(x[i]) * up[i];
}

template <typename Of>
void Activate(const float* x, size_t n, float* y) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) Put(Of()(Get(x + i)), y + i);
  for (; i < n; ++i) y[i] = Of()(x[i]);
}

HWY_INLINE void Rotate(V& a, V& b, const float* cos, const float* sin) {
  const V c = Get(cos), s = Get(sin), x = a, y = b;
  a = hn::Sub(hn::Mul(x, c), hn::Mul(y, s));
  b = hn::Add(hn::Mul(y, c), hn::Mul(x, s));
}

void RotateHalves(float* x, const float* cos, const float* sin, size_t half) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= half; i += step) {
    V a = Get(x + i), b = Get(x + half + i);
    Rotate(a, b, cos + i, sin + i);
    Put(a, x + i);
    Put(b, x + half + i);
  }
  for (; i < half; ++i) RotateOf(x[i], x[half + i], cos[i], sin[i]);
}

void RotatePairs(float* x, const float* cos, const float* sin, size_t half) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= half; i += step) {
    V a, b;
    hn::LoadInterleaved2(D(), x + 2 * i, a, b);
    Rotate(a, b, cos + i, sin + i);
    hn::StoreInterleaved2(a, b, D(), x + 2 * i);
  }
  for (; i < half; ++i) RotateOf(x[2 * i], x[2 * i + 1], cos[i], sin[i]);
}

float Dot(const float* x, const float* y, size_t n) {
  float partial[kPartialFloats] = {};
  const size_t whole = n - n % kPartialFloats;
  for (size_t k = 0; k < kPartialFloats; k += hn::Lanes(D())) {
    V sum = hn::Zero(D());
    for (size_t i = k; i < whole; i += kPartialFloats) sum = hn::Add(sum, hn::Mul(Get(x + i), Get(y + i)));
    Put(sum, partial + k);
  }
  for (size_t i = whole; i < n; ++i) partial[i - whole] += x[i] * y[i];
  return Total(partial, kPartialFloats);
}

float Max(const float* x, size_t n) {
  const size_t step = hn::Lanes(D());
  if (n < step) return *std::max_element(x, x + n);
  V best = Get(x);
  for (size_t i = step; i + step <= n; i += step) best = hn::Max(best, Get(x + i));
  best = hn::Max(best, Get(x + n - step));  // the last elements, some of them again
  return hn::GetLane(hn::MaxOfLanes(D(), best));
}

float ExpSum(float* x, float shift, size_t n) {
  float partial[kPartialFloats] = {};
  const size_t whole = n - n % kPartialFloats;
  for (size_t k = 0; k < kPartialFloats; k += hn::Lanes(D())) {
    V sum = hn::Zero(D());
    for (size_t i = k; i < whole; i += kPartialFloats) {
      const V power = Exp(hn::Sub(Get(x + i), Const(shift)));
      Put(power, x + i);
      sum = hn::Add(sum, power);
    }
    Put(sum, partial + k);
  }
  for (size_t i = whole; i < n; ++i) {
    x[i] = ExpOf(x[i] - shift);
    partial[i - whole] += x[i];
  }
  return Total(partial, kPartialFloats);
}

void Scale(float* x, float factor, size_t n) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) Put(hn::Mul(Get(x + i), Const(factor)), x + i);
  for (; i < n; ++i) x[i] *= factor;
}

void Add(const float* x, size_t n, float* y) {
  const size_t step = hn::Lanes(D());
  size_t i = 0;
  for (; i + step <= n; i += step) Put(hn::Add(Get(y + i), Get(x + i)), y + i);
  for (; i < n; ++i) y[i] += x[i];
}

bool Finite(const float* x, size_t n) {
  const size_t step = hn::Lanes(D());
  const V greatest = Const(3.40282347e+38f);
  size_t i = 0;
  for (; i + step <= n; i += step) {
    if (!hn::AllTrue(D(), hn::Le(hn::Abs(Get(x + i)), greatest))) return false;
  }
  return std::all_of(x + i, x + n, FiniteOf);
}

}  // namespace

const Kernels& TargetKernels() {
  static const Kernels kernels = {
      hwy::TargetName(HWY_TARGET), RmsNorm, LayerNorm, Gate<Silu>, Gate<Gelu>, Gate<ReluSquared>,
      Activate<Silu>, Activate<Gelu>, Activate<ReluSquared>, RotateHalves, RotatePairs, Dot, Max, ExpSum,
      Scale, Add, Finite};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::forward
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::forward {

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

int64_t KernelTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseKernelTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::forward

#endif  // HWY_ONCE
