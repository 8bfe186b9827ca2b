// The vector twin of kernels_scalar.cc, compiled once per instruction set. Function by function the same arithmetic in
// the same order, a vector of lanes at a time; see kernels.h for why the results agree to the bit.
#include <cmath>

#include "core/quant/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/quant/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::quant {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Half a group at most: a half-filled group then costs half, and wider vectors gain little on the processors we know.
using D = hn::CappedTag<float, 8>;
using V = hn::Vec<D>;

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }
HWY_INLINE V Get(const float* p) { return hn::Load(D(), p); }
HWY_INLINE void Put(V v, float* p) { hn::StoreU(v, D(), p); }
HWY_INLINE int Step() { return static_cast<int>(hn::Lanes(D())); }

HWY_INLINE V Inverse(V scale) {
  return hn::IfThenZeroElse(hn::Lt(hn::Abs(scale), Const(kTinyScale)), hn::Div(Const(1.0f), scale));
}

HWY_INLINE V Clamp(V t, V lo, V hi) { return hn::Min(hn::Max(t, lo), hi); }

// The integers lo..hi.
struct Uniform {
  explicit Uniform(const Grid& grid) : lo(Const(grid.lo)), hi(Const(grid.hi)) {}
  HWY_INLINE V Nearest(V t) const { return hn::Round(Clamp(t, lo, hi)); }
  HWY_INLINE V Index(V t) const { return hn::Sub(Nearest(t), lo); }
  V lo, hi;
};

// All integers.
struct Unclamped {
  HWY_INLINE V Nearest(V t) const { return hn::Round(t); }
};

// The levels of a codebook.
class Listed {
 public:
#if HWY_TARGET == HWY_SCALAR
  explicit Listed(const Grid& grid) : book_(*grid.codebook) {}

  HWY_INLINE V Nearest(V t) const {
    V level = Const(book_.level[0]);
    for (int k = 0; k < kMaxLevels - 1; ++k) {
      level = hn::IfThenElse(hn::Gt(t, Const(book_.threshold[k])), Const(book_.level[k + 1]), level);
    }
    return level;
  }
#else
  explicit Listed(const Grid& grid)
      : book_(*grid.codebook), first_(Const(-book_.first_cell)), per_unit_(Const(book_.cells_per_unit)),
        below_(hn::LoadDup128(kBytes, book_.below)), above_(hn::LoadDup128(kBytes, book_.above)) {}

  // From the number's cell: about half the work of comparing with every threshold.
  HWY_INLINE V Nearest(V t) const {
    const hn::Rebind<int32_t, D> di;
    const V cell = Clamp(hn::Mul(hn::Add(t, first_), per_unit_), Const(0.0f), Const(kMaxLevels - 1.0f));
    const auto index = hn::ShiftLeft<24>(hn::ConvertTo(di, cell));
    const V below = Look(below_, index), above = Look(above_, index);
    return hn::IfThenElse(hn::Gt(hn::Add(t, t), hn::Add(below, above)), above, below);
  }
#endif

  // The level's number.
  HWY_INLINE V Index(V t) const {
    V index = hn::Zero(D());
    for (const float threshold : book_.threshold) {
      index = hn::Add(index, hn::IfThenElseZero(hn::Gt(t, Const(threshold)), Const(1.0f)));
    }
    return index;
  }

 private:
  const Codebook& book_;
#if HWY_TARGET != HWY_SCALAR
  static constexpr hn::Repartition<int8_t, D> kBytes{};
  using Bytes = hn::Vec<hn::Repartition<int8_t, D>>;

  // The table's values at the indices in the top byte of each lane.
  template <typename I>
  static HWY_INLINE V Look(Bytes table, I index) {
    const hn::Rebind<int32_t, D> di;
    const auto found = hn::TableLookupBytes(table, hn::BitCast(kBytes, index));
    return hn::ConvertTo(D(), hn::ShiftRight<24>(hn::BitCast(di, found)));
  }

  V first_, per_unit_;
  Bytes below_, above_;
#endif
};

// Importance times `v`, for a row of lanes at w.
template <bool kWeighted>
HWY_INLINE V Weighted(const float* w, V v) {
  if constexpr (kWeighted) return hn::Mul(Get(w), v);
  return v;
}

// Calls fn<weighted, grid type> for a group.
#define NASHSWARM_DISPATCH(fn, group, grid, ...)                                              \
  do {                                                                                        \
    if ((grid).codebook != nullptr) {                                                         \
      if ((group).weighted) fn<true, Listed>(group, grid, __VA_ARGS__);                       \
      else fn<false, Listed>(group, grid, __VA_ARGS__);                                       \
    } else {                                                                                  \
      if ((group).weighted) fn<true, Uniform>(group, grid, __VA_ARGS__);                      \
      else fn<false, Uniform>(group, grid, __VA_ARGS__);                                      \
    }                                                                                         \
  } while (false)

// Four floats from each of two rows that lie `apart`, side by side; or from one row, where vectors hold only four.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
#define NASHSWARM_ROWS_AT_ONCE 8
HWY_INLINE V LoadQuads(const float* row, int apart) {
  const hn::Half<D> half;
  return hn::Combine(D(), hn::LoadU(half, row + apart), hn::LoadU(half, row));
}
#elif HWY_TARGET != HWY_SCALAR
#define NASHSWARM_ROWS_AT_ONCE 4
HWY_INLINE hn::Vec<hn::FixedTag<float, 4>> LoadQuads(const float* row, int) {
  return hn::LoadU(hn::FixedTag<float, 4>(), row);
}
#else
#define NASHSWARM_ROWS_AT_ONCE 0
#endif

// Writes `blocks` rows of `size` floats at `from` as columns, through `finish`, which works on any float vector.
// Columns past `blocks` become finish(0).
template <typename Finish>
void Transpose(const float* from, int blocks, int size, float (*to)[kLanes], Finish finish) {
  int lane = 0;
#if NASHSWARM_ROWS_AT_ONCE
  constexpr int kRows = NASHSWARM_ROWS_AT_ONCE;
  const hn::FixedTag<float, kRows> df;
  const hn::FixedTag<double, kRows / 2> dd;  // moves two floats as one
  for (; lane + kRows <= blocks; lane += kRows) {
    for (int i = 0; i < size; i += 4) {
      const float* row = from + lane * size + i;
      const auto a = finish(df, LoadQuads(row, 4 * size)), b = finish(df, LoadQuads(row + size, 4 * size));
      const auto c = finish(df, LoadQuads(row + 2 * size, 4 * size));
      const auto e = finish(df, LoadQuads(row + 3 * size, 4 * size));
      const auto ab_lo = hn::BitCast(dd, hn::InterleaveLower(df, a, b));  // a0 b0 a1 b1
      const auto ce_lo = hn::BitCast(dd, hn::InterleaveLower(df, c, e));
      const auto ab_hi = hn::BitCast(dd, hn::InterleaveUpper(df, a, b));  // a2 b2 a3 b3
      const auto ce_hi = hn::BitCast(dd, hn::InterleaveUpper(df, c, e));
      hn::Store(hn::BitCast(df, hn::InterleaveLower(dd, ab_lo, ce_lo)), df, to[i] + lane);
      hn::Store(hn::BitCast(df, hn::InterleaveUpper(dd, ab_lo, ce_lo)), df, to[i + 1] + lane);
      hn::Store(hn::BitCast(df, hn::InterleaveLower(dd, ab_hi, ce_hi)), df, to[i + 2] + lane);
      hn::Store(hn::BitCast(df, hn::InterleaveUpper(dd, ab_hi, ce_hi)), df, to[i + 3] + lane);
    }
  }
#endif
  const hn::CappedTag<float, 1> d1;
  const int end = (blocks + Step() - 1) / Step() * Step();  // kernels read whole vectors
  for (; lane < end; ++lane) {
    for (int i = 0; i < size; ++i) {
      const float value = lane < blocks ? from[lane * size + i] : 0.0f;
      to[i][lane] = hn::GetLane(finish(d1, hn::Set(d1, value)));
    }
  }
}

// `count` is a multiple of 16. The order of a maximum does not matter.
float Greatest(const float* values, int count) {
  V greatest = hn::Zero(D());
  for (int i = 0; i < count; i += Step()) greatest = hn::Max(hn::LoadU(D(), values + i), greatest);
  return hn::GetLane(hn::MaxOfLanes(D(), greatest));
}

void Load(const float* x, const float* importance, int blocks, int size, Group& group) {
  group.blocks = blocks;
  group.size = size;
  Transpose(x, blocks, size, group.x, [](auto d, auto v) HWY_ATTR {
    return hn::Min(hn::Max(v, hn::Set(d, -kHugeWeight)), hn::Set(d, kHugeWeight));
  });
  const float greatest = importance == nullptr ? 0.0f : Greatest(importance, blocks * size);
  group.weighted = greatest > 1e-36f;
  if (!group.weighted) return;
  const float unit = 1.0f / greatest;
  Transpose(importance, blocks, size, group.w, [unit](auto d, auto v) HWY_ATTR {
    return hn::Max(hn::Mul(v, hn::Set(d, unit)), hn::Set(d, kLeastImportance));
  });
}

struct Sums {
  V xq, qq;
  HWY_INLINE V Gain() const { return hn::Div(hn::Mul(xq, xq), hn::Max(qq, Const(kTinyScale))); }
  HWY_INLINE V Scale() const { return hn::Div(xq, hn::Max(qq, Const(kTinyScale))); }
};

template <bool kWeighted, typename G>
HWY_INLINE Sums SumLane(const Group& group, const G& grid, int lane, V inverse) {
  V xq = hn::Zero(D()), qq = xq;
  for (int i = 0; i < group.size; ++i) {
    const V x = Get(group.x[i] + lane);
    const V q = grid.Nearest(hn::Mul(x, inverse));
    const V wq = Weighted<kWeighted>(group.w[i] + lane, q);
    xq = hn::Add(xq, hn::Mul(wq, x));
    qq = hn::Add(qq, hn::Mul(wq, q));
  }
  return {xq, qq};
}

template <bool kWeighted, typename G>
void FitScaleOn(const Group& group, const Grid& grid, absl::Span<const float> levels, Lanes& scales) {
  const G g(grid);
  bool inside = grid.codebook == nullptr;  // no first guess leaves the grid: then clamping changes nothing
  for (const float level : levels) inside = inside && std::fabs(level) <= grid.hi && std::fabs(level) <= -grid.lo;
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    V lo = hn::Zero(D()), hi = lo;
    for (int i = 0; i < group.size; ++i) {
      const V x = Get(group.x[i] + lane);
      lo = hn::Min(lo, x);
      hi = hn::Max(hi, x);
    }
    const V unit = Inverse(hn::IfThenElse(hn::Gt(hn::Add(lo, hi), hn::Zero(D())), hi, lo));
    V gain = hn::Zero(D()), scale = gain;
    const auto consider = [&](V inverse, const auto& on) HWY_ATTR {
      const Sums sums = SumLane<kWeighted>(group, on, lane, inverse);
      const V candidate = sums.Gain();
      const auto better = hn::Gt(candidate, gain);
      gain = hn::IfThenElse(better, candidate, gain);
      scale = hn::IfThenElse(better, sums.Scale(), scale);
    };
    for (const float level : levels) {
      if (inside) {
        consider(hn::Mul(Const(level), unit), Unclamped());
      } else {
        consider(hn::Mul(Const(level), unit), g);
      }
    }
    Put(scale, scales + lane);
  }
}

void FitScale(const Group& group, const Grid& grid, absl::Span<const float> levels, Lanes& scale) {
  NASHSWARM_DISPATCH(FitScaleOn, group, grid, levels, scale);
}

// Keeps in `best` and `error` the number and error of the best candidate so far.
HWY_INLINE void Keep(int k, V sum, V& best, V& error) {
  const auto better = hn::Lt(sum, error);
  error = k == 0 ? sum : hn::IfThenElse(better, sum, error);
  best = k == 0 ? hn::Zero(D()) : hn::IfThenElse(better, Const(static_cast<float>(k)), best);
}

template <bool kWeighted, typename G>
void PickScaleOn(const Group& group, const Grid& grid, int count, const Lanes* scale, Lanes& best, Lanes& error) {
  const G g(grid);
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    V least = hn::Zero(D()), number = least;
    for (int k = 0; k < count; ++k) {
      const V s = hn::LoadU(D(), scale[k] + lane), inverse = Inverse(s);
      V sum = hn::Zero(D());
      for (int i = 0; i < group.size; ++i) {
        const V x = Get(group.x[i] + lane);
        const V e = hn::Sub(x, hn::Mul(s, g.Nearest(hn::Mul(x, inverse))));
        sum = hn::Add(sum, hn::Mul(Weighted<kWeighted>(group.w[i] + lane, e), e));
      }
      Keep(k, sum, number, least);
    }
    Put(number, best + lane);
    Put(least, error + lane);
  }
}

void PickScale(const Group& group, const Grid& grid, int count, const Lanes* scale, Lanes& best, Lanes& error) {
  NASHSWARM_DISPATCH(PickScaleOn, group, grid, count, scale, best, error);
}

template <bool kWeighted, typename G>
void SumScaleOn(const Group& group, const Grid& grid, const Lanes& scale, ScaleSums& sums) {
  const G g(grid);
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    const Sums s = SumLane<kWeighted>(group, g, lane, Inverse(hn::LoadU(D(), scale + lane)));
    Put(s.xq, sums.xq + lane);
    Put(s.qq, sums.qq + lane);
  }
}

void SumScale(const Group& group, const Grid& grid, const Lanes& scale, ScaleSums& sums) {
  NASHSWARM_DISPATCH(SumScaleOn, group, grid, scale, sums);
}

template <bool kWeighted>
HWY_INLINE void FitAffineLane(const Group& group, float max, float sign, absl::Span<const Window> windows, int lane,
                              V& best_scale, V& best_min) {
  const V zero = hn::Zero(D()), top = Const(max);
  V lo = Get(group.x[0] + lane), hi = lo;
  for (int i = 1; i < group.size; ++i) {
    const V x = Get(group.x[i] + lane);
    lo = hn::Min(lo, x);
    hi = hn::Max(hi, x);
  }
  if (sign > 0) lo = hn::Min(lo, zero);
  V w = zero, wy = zero;
  for (int i = 0; i < group.size; ++i) {
    const V y = hn::Sub(Get(group.x[i] + lane), lo);
    w = hn::Add(w, Weighted<kWeighted>(group.w[i] + lane, Const(1.0f)));
    wy = hn::Add(wy, Weighted<kWeighted>(group.w[i] + lane, y));
  }
  V best_cost = zero, scale = zero, offset = zero;
  const auto consider = [&](V inverse, V shift) HWY_ATTR {
    V wq = zero, wqq = zero, wyq = zero;
    for (int i = 0; i < group.size; ++i) {
      const V y = hn::Sub(Get(group.x[i] + lane), lo);
      const V q = hn::Round(Clamp(hn::Add(hn::Mul(y, inverse), shift), zero, top));
      const V p = Weighted<kWeighted>(group.w[i] + lane, q);
      wq = hn::Add(wq, p);
      wqq = hn::Add(wqq, hn::Mul(p, q));
      wyq = hn::Add(wyq, hn::Mul(p, y));
    }
    const V determinant = hn::Sub(hn::Mul(w, wqq), hn::Mul(wq, wq));
    const auto solvable = hn::Gt(determinant, hn::Mul(Const(1e-6f), hn::Mul(w, wqq)));
    const V solution = hn::Div(hn::Sub(hn::Mul(w, wyq), hn::Mul(wy, wq)), determinant);
    V s = hn::Max(hn::IfThenElseZero(solvable, solution), zero);
    V o = hn::Div(hn::Sub(wy, hn::Mul(s, wq)), w);
    const auto wrong_sign = hn::Gt(hn::Mul(hn::Add(o, lo), Const(sign)), zero);
    const V alone = hn::Div(hn::Add(wyq, hn::Mul(lo, wq)), hn::Max(wqq, Const(kTinyScale)));
    o = hn::IfThenElse(wrong_sign, hn::Sub(zero, lo), o);
    s = hn::IfThenElse(wrong_sign, hn::Max(alone, zero), s);
    const V cost_s = hn::Mul(s, hn::Sub(hn::Mul(s, wqq), hn::Mul(Const(2.0f), wyq)));
    const V cost_o =
        hn::Mul(o, hn::Add(hn::Mul(o, w), hn::Mul(Const(2.0f), hn::Sub(hn::Mul(s, wq), wy))));
    const V cost = hn::Add(cost_s, cost_o);
    const auto better = hn::Lt(cost, best_cost);
    best_cost = hn::IfThenElse(better, cost, best_cost);
    scale = hn::IfThenElse(better, s, scale);
    offset = hn::IfThenElse(better, o, offset);
  };
  const V unit = Inverse(hn::Sub(hi, lo));
  for (const Window& window : windows) consider(hn::Mul(Const(max + window.stretch), unit), Const(window.shift));
  best_scale = scale;
  best_min = hn::Sub(zero, hn::Add(offset, lo));
}

void FitAffine(const Group& group, float max, float sign, absl::Span<const Window> windows, Lanes& scale, Lanes& min) {
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    V s, m;
    if (group.weighted) {
      FitAffineLane<true>(group, max, sign, windows, lane, s, m);
    } else {
      FitAffineLane<false>(group, max, sign, windows, lane, s, m);
    }
    Put(s, scale + lane);
    Put(m, min + lane);
  }
}

template <bool kWeighted>
HWY_INLINE V AffineError(const Group& group, V max, int lane, V s, V m) {
  const V zero = hn::Zero(D()), inverse = Inverse(s);
  V sum = zero;
  for (int i = 0; i < group.size; ++i) {
    const V y = hn::Add(Get(group.x[i] + lane), m);
    const V e = hn::Sub(y, hn::Mul(s, hn::Round(Clamp(hn::Mul(y, inverse), zero, max))));
    sum = hn::Add(sum, hn::Mul(Weighted<kWeighted>(group.w[i] + lane, e), e));
  }
  return sum;
}

void PickAffine(const Group& group, float max, int count, const Lanes* scale, const Lanes* min, Lanes& best,
                Lanes& error) {
  const V top = Const(max);
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    V least = hn::Zero(D()), number = least;
    for (int k = 0; k < count; ++k) {
      const V s = hn::LoadU(D(), scale[k] + lane), m = hn::LoadU(D(), min[k] + lane);
      const V sum = group.weighted ? AffineError<true>(group, top, lane, s, m)
                                   : AffineError<false>(group, top, lane, s, m);
      Keep(k, sum, number, least);
    }
    Put(number, best + lane);
    Put(least, error + lane);
  }
}

template <bool kWeighted>
HWY_INLINE void SumAffineLane(const Group& group, float max, int lane, V scale, V m, AffineSums& sums) {
  const V zero = hn::Zero(D()), top = Const(max), inverse = Inverse(scale);
  V w = zero, wx = zero, wq = zero, wxq = zero, wqq = zero;
  for (int i = 0; i < group.size; ++i) {
    const V x = Get(group.x[i] + lane);
    const V q = hn::Round(Clamp(hn::Mul(hn::Add(x, m), inverse), zero, top));
    const V p = Weighted<kWeighted>(group.w[i] + lane, q);
    w = hn::Add(w, Weighted<kWeighted>(group.w[i] + lane, Const(1.0f)));
    wx = hn::Add(wx, Weighted<kWeighted>(group.w[i] + lane, x));
    wq = hn::Add(wq, p);
    wxq = hn::Add(wxq, hn::Mul(p, x));
    wqq = hn::Add(wqq, hn::Mul(p, q));
  }
  Put(w, sums.w + lane);
  Put(wx, sums.x + lane);
  Put(wq, sums.q + lane);
  Put(wxq, sums.xq + lane);
  Put(wqq, sums.qq + lane);
}

void SumAffine(const Group& group, float max, const Lanes& scale, const Lanes& min, AffineSums& sums) {
  for (int lane = 0; lane < group.blocks; lane += Step()) {
    const V s = hn::LoadU(D(), scale + lane), m = hn::LoadU(D(), min + lane);
    if (group.weighted) {
      SumAffineLane<true>(group, max, lane, s, m, sums);
    } else {
      SumAffineLane<false>(group, max, lane, s, m, sums);
    }
  }
}

template <typename G>
void RoundOn(const float* x, int blocks, int size, const Grid& grid, const float* scale, const float* min,
             uint8_t* q) {
  const G g(grid);
  const hn::Rebind<int32_t, D> di;
  const hn::Rebind<uint8_t, D> du;
  for (int block = 0; block < blocks; ++block) {
    const V inverse = Inverse(Const(scale[block])), m = Const(min[block]);
    for (int i = block * size; i < (block + 1) * size; i += Step()) {
      const V t = hn::Mul(hn::Add(hn::LoadU(D(), x + i), m), inverse);
      hn::StoreU(hn::DemoteTo(du, hn::ConvertTo(di, g.Index(t))), du, q + i);
    }
  }
}

void Round(const float* x, int blocks, int size, const Grid& grid, const float* scale, const float* min, uint8_t* q) {
  if (grid.codebook != nullptr) {
    RoundOn<Listed>(x, blocks, size, grid, scale, min, q);
  } else {
    RoundOn<Uniform>(x, blocks, size, grid, scale, min, q);
  }
}

// One pass over the weights for each vector of partial sums.
template <bool kWeighted>
void CompareOn(const float* x, const float* y, const float* importance, size_t count, PartialErrors& sums) {
  const hn::CappedTag<double, kPartialSums> dd;
  const hn::Rebind<float, decltype(dd)> df;
  for (size_t k = 0; k < kPartialSums; k += hn::Lanes(dd)) {
    auto error = hn::Zero(dd), energy = error;
    for (size_t i = k; i < count; i += kPartialSums) {
      const auto value = hn::PromoteTo(dd, hn::LoadU(df, x + i));
      const auto e = hn::Sub(value, hn::PromoteTo(dd, hn::LoadU(df, y + i)));
      auto squared_error = hn::Mul(e, e), square = hn::Mul(value, value);
      if constexpr (kWeighted) {
        const auto w = hn::PromoteTo(dd, hn::LoadU(df, importance + i));
        squared_error = hn::Mul(w, squared_error);
        square = hn::Mul(w, square);
      }
      error = hn::Add(error, squared_error);
      energy = hn::Add(energy, square);
    }
    hn::StoreU(error, dd, sums.error + k);
    hn::StoreU(energy, dd, sums.energy + k);
  }
}

void Compare(const float* x, const float* y, const float* importance, size_t count, PartialErrors& sums) {
  if (importance != nullptr) {
    CompareOn<true>(x, y, importance, count, sums);
  } else {
    CompareOn<false>(x, y, importance, count, sums);
  }
}

#undef NASHSWARM_DISPATCH
#undef NASHSWARM_ROWS_AT_ONCE

}  // namespace

const Kernels& TargetKernels() {
  static const Kernels kernels = {hwy::TargetName(HWY_TARGET), Load,       FitScale,  PickScale, SumScale, FitAffine,
                                  PickAffine,                  SumAffine, Round,     Compare};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::quant
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::quant {

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

int64_t KernelTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseKernelTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::quant

#endif  // HWY_ONCE
