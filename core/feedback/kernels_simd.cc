// The vector twin of kernels_scalar.cc, compiled once per instruction set: the same arithmetic in the same order for
// each row, but all of a strip for one vector of rows before the next, so that it stays in the nearest cache.
#include "core/feedback/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/feedback/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::feedback {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }
HWY_INLINE V Get(const float* p) { return hn::LoadU(D(), p); }
HWY_INLINE void Put(V v, float* p) { hn::StoreU(v, D(), p); }
HWY_INLINE int Step() { return static_cast<int>(hn::Lanes(D())); }

struct Uniform {
  explicit Uniform(const quant::Grid& grid) : lo(Const(grid.lo)), hi(Const(grid.hi)) {}
  HWY_INLINE V Nearest(V t) const { return hn::Round(hn::Min(hn::Max(t, lo), hi)); }
  V lo, hi;
};

struct Listed {
  explicit Listed(const quant::Grid& grid) : book(*grid.codebook) {}
  // Climbs over every threshold that t exceeds.
  HWY_INLINE V Nearest(V t) const {
    V value = Const(book.level[0]);
    for (int k = 0; k < quant::kMaxLevels - 1; ++k) {
      value = hn::IfThenElse(hn::Gt(t, Const(book.threshold[k])), Const(book.level[k + 1]), value);
    }
    return value;
  }
  const quant::Codebook& book;
};

// Where column j of a vector of rows lies.
HWY_INLINE int At(int j, int row) { return j * kPanelRows + row; }

template <typename G>
HWY_INLINE V Place(const G& grid, Strip& strip, int sub, int at, int row, V target) {
  const V min = Get(strip.min[sub] + row);
  const V value = grid.Nearest(hn::Mul(hn::Add(target, min), Get(strip.inverse[sub] + row)));
  const V decoded = hn::Sub(hn::Mul(Get(strip.scale[sub] + row), value), min);
  Put(value, strip.value + at);
  Put(decoded, strip.decoded + at);
  return decoded;
}

HWY_INLINE void Feed(float* x, V change, float factor) { Put(hn::Sub(Get(x), hn::Mul(change, Const(factor))), x); }

template <typename G>
void RoundOn(Strip& strip) {
  const G grid(strip.grid);
  const int sub_weights = strip.sub_weights();
  for (int row = 0; row < kPanelRows; row += Step()) {
    for (int j = 0; j < kStrip; ++j) {
      const int at = At(j, row);
      const V x = Get(strip.x + at);
      const V decoded = Place(grid, strip, j / sub_weights, at, row, x);
      const V change = hn::Mul(hn::Sub(x, decoded), Const(strip.unit[j]));
      Put(change, strip.change + at);
      const float* matrix = strip.matrix + j * strip.stride;
      for (int k = j + 1; k < kStrip; ++k) Feed(strip.x + At(k, row), change, matrix[k]);
    }
  }
}

void Round(Strip& strip) { strip.grid.codebook != nullptr ? RoundOn<Listed>(strip) : RoundOn<Uniform>(strip); }

HWY_INLINE void Move(Strip& strip, int j, int row, V step) {
  const float* matrix = strip.matrix + j * strip.stride;
  for (int k = 0; k < j; ++k) Feed(strip.x + At(k, row), step, matrix[k]);
  Feed(strip.x + At(j, row), step, matrix[j] + strip.added);
  for (int k = j + 1; k < kStrip; ++k) Feed(strip.x + At(k, row), step, matrix[k]);
  float* change = strip.change + At(j, row);
  Put(hn::Add(Get(change), step), change);
}

template <typename G>
void RefineOn(Strip& strip) {
  const G grid(strip.grid);
  const int sub_weights = strip.sub_weights();
  for (int row = 0; row < kPanelRows; row += Step()) {
    for (int j = 0; j < kStrip; ++j) {
      const int at = At(j, row);
      const V before = Get(strip.decoded + at);
      const V target = hn::Add(before, hn::Mul(Get(strip.x + at), Const(strip.unit[j])));
      const V step = hn::Sub(Place(grid, strip, j / sub_weights, at, row, target), before);
      // In later sweeps many columns stay as they are in all rows of the vector.
      if (!hn::AllTrue(D(), hn::Eq(step, hn::Zero(D())))) Move(strip, j, row, step);
    }
  }
}

void Refine(Strip& strip) { strip.grid.codebook != nullptr ? RefineOn<Listed>(strip) : RefineOn<Uniform>(strip); }

void Rescale(Strip& strip) {
  const int sub_weights = strip.sub_weights();
  for (int row = 0; row < kPanelRows; row += Step()) {
    for (int j = 0; j < kStrip; ++j) {
      const int at = At(j, row), sub = j / sub_weights;
      const V before = Get(strip.decoded + at);
      const V scaled = hn::Mul(Get(strip.scale[sub] + row), Get(strip.value + at));
      const V decoded = hn::Sub(scaled, Get(strip.min[sub] + row));
      Put(decoded, strip.decoded + at);
      const V step = hn::Sub(decoded, before);
      if (!hn::AllTrue(D(), hn::Eq(step, hn::Zero(D())))) Move(strip, j, row, step);
    }
  }
}

void Sum(const Strip& strip, int sub, SubSums& sums) {
  const int first = sub * strip.sub_weights(), end = first + strip.sub_weights();
  float all[kStrip];  // row sums of the square
  sums.H = 0.0f;
  for (int i = first; i < end; ++i) {
    all[i] = strip.added;
    for (int k = first; k < end; ++k) all[i] += strip.matrix[i * strip.stride + k];
    sums.H += all[i];
  }
  for (int row = 0; row < kPanelRows; row += Step()) {
    V g = hn::Zero(D()), gv = g, vh = g, vhv = g;
    for (int i = first; i < end; ++i) {
      const float* h = strip.matrix + i * strip.stride;
      const V v = Get(strip.value + At(i, row)), gradient = Get(strip.x + At(i, row));
      V below = hn::Zero(D());
      for (int k = first; k < i; ++k) below = hn::Add(below, hn::Mul(Const(h[k]), Get(strip.value + At(k, row))));
      g = hn::Add(g, gradient);
      gv = hn::Add(gv, hn::Mul(gradient, v));
      vh = hn::Add(vh, hn::Mul(Const(all[i]), v));
      const V own = hn::Mul(Const(h[i] + strip.added), v);
      vhv = hn::Add(vhv, hn::Mul(v, hn::Add(hn::Add(below, below), own)));
    }
    Put(g, sums.g + row);
    Put(gv, sums.gv + row);
    Put(vh, sums.vH + row);
    Put(vhv, sums.vHv + row);
  }
}

}  // namespace

const Kernels& TargetKernels() {
  static const Kernels kernels = {hwy::TargetName(HWY_TARGET), Round, Refine, Sum, Rescale};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::feedback
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::feedback {
namespace {

const Kernels* forced = nullptr;

}  // namespace

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

const Kernels& ActiveKernels() { return forced != nullptr ? *forced : SimdKernels(); }

void UseKernels(const Kernels* kernels) { forced = kernels; }

}  // namespace nashswarm::feedback

#endif  // HWY_ONCE
