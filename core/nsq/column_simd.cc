// The vector twin of column_scalar.cc, compiled once per instruction set: a lane is a column, a vector holds the costs of
// one trellis state for all of them, so that the search needs no shuffles.
#include "core/coding/trellis.h"
#include "core/nsq/column_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/nsq/column_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::nsq {
namespace HWY_NAMESPACE {
namespace {

// Targets without vectors of a fixed size take the plain kernels.
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX2
constexpr int kWidth = kLanes;
#else
constexpr int kWidth = kLanes / 2;  // of 128 bits: one half of the lanes after the other
#endif
using F = hn::FixedTag<float, kWidth>;
using I = hn::FixedTag<int32_t, kWidth>;
using U = hn::FixedTag<uint32_t, kWidth>;
using Byte = hn::FixedTag<uint8_t, kWidth>;
using Half = hn::FixedTag<float, kWidth / 2>;
using Double = hn::FixedTag<double, kWidth / 2>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;
using VU = hn::Vec<U>;

HWY_INLINE VU Bit(hn::Mask<F> mask, int bit) {
  return hn::And(hn::BitCast(U(), hn::VecFromMask(F(), mask)), hn::Set(U(), 1u << bit));
}

struct Cost {
  VF cost;
  hn::Mask<F> upper;
};

HWY_INLINE Cost Better(VF below, VF above, VU pair, VF price) {
  const VI lower_length = hn::BitCast(I(), hn::And(pair, hn::Set(U(), 0xffff)));
  const VI upper_length = hn::BitCast(I(), hn::ShiftRight<16>(pair));
  const VF lower = hn::Add(hn::Mul(below, below), hn::Mul(price, hn::ConvertTo(F(), lower_length)));
  const VF upper = hn::Add(hn::Mul(above, above), hn::Mul(price, hn::ConvertTo(F(), upper_length)));
  const auto better = hn::Lt(upper, lower);
  return {hn::Min(upper, lower), better};
}

// The lanes of one vector, lanes `first` and on: what does not change from row to row.
struct Panel {
  Panel(const ColumnsProblem& problem, int first_lane)
      : p(problem),
        first(first_lane),
        lane_rows(hn::LoadU(I(), problem.lane_rows + first_lane)),
        column_class(hn::LoadU(I(), problem.column_class + first_lane)),
        price(hn::Mul(hn::LoadU(F(), problem.price + first_lane), hn::Set(F(), ChoiceRates::kUnit))) {}

  HWY_INLINE size_t At(int row) const { return static_cast<size_t>(row) * kLanes + first; }
  HWY_INLINE VF Value(int row) const { return hn::LoadU(F(), p.values + At(row)); }
  HWY_INLINE VF Magnitude(int row) const { return hn::Min(hn::Abs(Value(row)), hn::Set(F(), kGreatest)); }
  HWY_INLINE VI Context(int row) const {
    return hn::Add(hn::PromoteTo(I(), hn::LoadU(Byte(), p.row_class + At(row))), column_class);
  }

  const ColumnsProblem& p;
  int first;
  VI lane_rows, column_class;
  VF price;
};

// Writes the choices of one row and adds up the errors, from the last row to the first.
class Writer {
 public:
  Writer(const Panel& panel, ColumnsChoice* choice)
      : panel_(panel), choice_(choice), low_(hn::Zero(Double())), high_(hn::Zero(Double())) {}

  HWY_INLINE void Store(int row, VI table, VI level, VI steps) {
    const auto active = hn::Gt(panel_.lane_rows, hn::Set(I(), row));
    const VF value = panel_.Value(row);
    const VF off =
        hn::IfThenElseZero(hn::RebindMask(F(), active), hn::Sub(value, hn::CopySign(hn::ConvertTo(F(), steps), value)));
    const VI sign = hn::ShiftRight<31>(hn::BitCast(I(), value));
    const VI integer = hn::IfThenElseZero(active, hn::Sub(hn::Xor(level, sign), sign));
    const VI cell = hn::Add(hn::Mul(table, hn::Set(I(), kHistogram)), hn::Min(level, hn::Set(I(), kHistogram - 1)));
    const VI nowhere = hn::Set(I(), panel_.p.rates->tables() * kHistogram);
    const size_t at = panel_.At(row);
    hn::StoreU(integer, I(), choice_->integers + at);
    hn::StoreU(off, F(), choice_->errors + at);
    hn::StoreU(hn::BitCast(U(), hn::IfThenElse(active, cell, nowhere)), U(), choice_->cells + at);
    const auto low = hn::PromoteTo(Double(), hn::LowerHalf(Half(), off));
    const auto high = hn::PromoteTo(Double(), hn::UpperHalf(Half(), off));
    low_ = hn::Add(low_, hn::Mul(low, low));
    high_ = hn::Add(high_, hn::Mul(high, high));
  }

  HWY_INLINE void Finish() {
    hn::StoreU(low_, Double(), choice_->squared_error + panel_.first);
    hn::StoreU(high_, Double(), choice_->squared_error + panel_.first + kWidth / 2);
  }

 private:
  const Panel& panel_;
  ColumnsChoice* choice_;
  hn::Vec<Double> low_, high_;
};

// The better neighbour in one set, see Interval, LowerSteps and UpperSteps.
template <int kSet>
HWY_INLINE Cost InSet(const Panel& panel, VF a, VI whole, VI entries) {
  constexpr int kQuantizer = kSet >> 1, kParity = kSet & 1, kFirst = 2 * kParity - kQuantizer;
  const VI from_first = kFirst == 0 ? whole : hn::Sub(whole, hn::Set(I(), kFirst));
  const VI t = hn::ShiftRight<2>(kFirst > 0 ? hn::Max(from_first, hn::Zero(I())) : from_first);
  const VI entry = hn::Add(entries, hn::Min(t, hn::Set(I(), ChoiceRates::kIntervals - 1)));
  const VU pair = hn::GatherIndex(U(), panel.p.rates->pairs() + kSet * ChoiceRates::kIntervals, entry);
  const VI upper = hn::Add(hn::ShiftLeft<2>(t), hn::Set(I(), 4 + kFirst));
  VI lower = hn::Sub(upper, hn::Set(I(), 4));
  if (kFirst < 0) lower = hn::Max(lower, hn::Zero(I()));
  return Better(hn::Sub(a, hn::ConvertTo(F(), lower)), hn::Sub(a, hn::ConvertTo(F(), upper)), pair, panel.price);
}

// The costs of the best paths to each state.
struct Paths {
  VF s0, s1, s2, s3, s4, s5, s6, s7;

  static HWY_INLINE Paths Start() {
    const VF never = hn::Inf(F());
    return {hn::Zero(F()), never, never, never, never, never, never, never};
  }

  // The state `kTo` after this row, and which parity led there.
  template <int kTo>
  HWY_INLINE VF Step(VF from_even, VF from_odd, const VF (&cost)[ChoiceRates::kSets], VU* decision) const {
    constexpr int kQuantizer = coding::QuantizerOf(coding::PreviousState(kTo, 0));
    const VF by_even = hn::Add(from_even, cost[2 * kQuantizer]), by_odd = hn::Add(from_odd, cost[2 * kQuantizer + 1]);
    *decision = hn::Or(*decision, Bit(hn::Lt(by_odd, by_even), kTo));
    return hn::Min(by_odd, by_even);
  }

  // States before, by even and odd integers; a test derives them from coding::NextState.
  HWY_INLINE Paths Next(const VF (&cost)[ChoiceRates::kSets], VU* decision) const {
    return {Step<0>(s0, s2, cost, decision), Step<1>(s2, s0, cost, decision), Step<2>(s4, s6, cost, decision),
            Step<3>(s6, s4, cost, decision), Step<4>(s7, s5, cost, decision), Step<5>(s5, s7, cost, decision),
            Step<6>(s3, s1, cost, decision), Step<7>(s1, s3, cost, decision)};
  }

  HWY_INLINE VF Least() const {
    return hn::Min(hn::Min(hn::Min(s0, s1), hn::Min(s2, s3)), hn::Min(hn::Min(s4, s5), hn::Min(s6, s7)));
  }

  HWY_INLINE void Rebase() {
    const VF least = Least();
    for (VF* s : {&s0, &s1, &s2, &s3, &s4, &s5, &s6, &s7}) *s = hn::Sub(*s, least);
  }

  // The first state with the least cost.
  HWY_INLINE VI Best() const {
    const VF least = Least();
    VI best = hn::Set(I(), 7);
    int state = 6;
    for (const VF* s : {&s6, &s5, &s4, &s3, &s2, &s1, &s0}) {
      best = hn::IfThenElse(hn::RebindMask(I(), hn::Eq(*s, least)), hn::Set(I(), state), best);
      --state;
    }
    return best;
  }
};

// Fills the decisions; the state that each lane's best path ends in.
VI SearchPaths(const Panel& panel, uint32_t* decisions) {
  Paths paths = Paths::Start();
  VI ends = hn::Zero(I());
  for (int i = 0; i < panel.p.rows; ++i) {
    const VF a = panel.Magnitude(i);
    const VI whole = hn::ConvertTo(I(), a);
    const VI entries = hn::Mul(panel.Context(i), hn::Set(I(), ChoiceRates::kSets * ChoiceRates::kIntervals));
    const Cost even0 = InSet<0>(panel, a, whole, entries), odd0 = InSet<1>(panel, a, whole, entries);
    const Cost even1 = InSet<2>(panel, a, whole, entries), odd1 = InSet<3>(panel, a, whole, entries);
    VU decision = hn::BitCast(U(), hn::ShiftLeft<kWholeBit>(whole));
    decision = hn::Or(decision, hn::Or(Bit(even0.upper, kUpperBit), Bit(odd0.upper, kUpperBit + 1)));
    decision = hn::Or(decision, hn::Or(Bit(even1.upper, kUpperBit + 2), Bit(odd1.upper, kUpperBit + 3)));
    paths = paths.Next({even0.cost, odd0.cost, even1.cost, odd1.cost}, &decision);
    hn::StoreU(decision, U(), decisions + panel.At(i));
    if (i % kRebaseRows == kRebaseRows - 1) paths.Rebase();
    const auto ends_here = hn::Eq(panel.lane_rows, hn::Set(I(), i + 1));
    if (!hn::AllFalse(I(), ends_here)) ends = hn::IfThenElse(ends_here, paths.Best(), ends);
  }
  return ends;
}

void TracePaths(const Panel& panel, VI state, const uint32_t* decisions, ColumnsChoice* choice) {
  const VI one = hn::Set(I(), 1);
  Writer writer(panel, choice);
  for (int i = panel.p.rows - 1; i >= 0; --i) {
    const VI decision = hn::BitCast(I(), hn::LoadU(U(), decisions + panel.At(i)));
    const VI parity = hn::And(hn::Shr(decision, state), one);
    // coding::PreviousState; its low bit is the quantizer.
    const VI q = hn::ShiftRight<2>(state);
    const VI middle = hn::And(hn::Xor(hn::Xor(state, parity), q), one);
    const VI high = hn::And(hn::Xor(hn::ShiftRight<1>(state), q), one);
    const VI before = hn::Or(q, hn::Or(hn::Add(middle, middle), hn::ShiftLeft<2>(high)));
    state = hn::IfThenElse(hn::Gt(panel.lane_rows, hn::Set(I(), i)), before, state);

    const VI set = hn::Add(hn::Add(q, q), parity);
    const VI upper = hn::And(hn::Shr(hn::ShiftRight<kUpperBit>(decision), set), one);
    const VI whole = hn::ShiftRight<kWholeBit>(decision);
    const VI from_first = hn::Max(hn::Sub(hn::Add(whole, q), hn::Add(parity, parity)), hn::Zero(I()));
    const VI half_level = hn::Add(hn::ShiftRight<2>(from_first), upper);
    const VI level = hn::Add(hn::Add(half_level, half_level), parity);
    const VI steps = hn::Max(hn::Sub(hn::Add(level, level), q), hn::Zero(I()));
    const VI context = panel.Context(i);
    writer.Store(i, hn::Add(hn::Add(context, context), q), level, steps);
  }
  writer.Finish();
}

void Dependent(const ColumnsProblem& p, uint32_t* decisions, ColumnsChoice* choice) {
  for (int first = 0; first < kLanes; first += kWidth) {
    const Panel panel(p, first);
    TracePaths(panel, SearchPaths(panel, decisions), decisions, choice);
  }
}

void Plain(const ColumnsProblem& p, ColumnsChoice* choice) {
  for (int first = 0; first < kLanes; first += kWidth) {
    const Panel panel(p, first);
    Writer writer(panel, choice);
    for (int i = p.rows - 1; i >= 0; --i) {
      const VF a = panel.Magnitude(i);
      const VI whole = hn::ConvertTo(I(), a), next = hn::Add(whole, hn::Set(I(), 1)), context = panel.Context(i);
      const VI entry = hn::Add(hn::Mul(context, hn::Set(I(), kRateWidth)), hn::Min(whole, hn::Set(I(), kRateWidth - 1)));
      const VU pair = hn::GatherIndex(U(), p.rates->pairs(), entry);
      const Cost best =
          Better(hn::Sub(a, hn::ConvertTo(F(), whole)), hn::Sub(a, hn::ConvertTo(F(), next)), pair, panel.price);
      const VI level = hn::IfThenElse(hn::RebindMask(I(), best.upper), next, whole);
      writer.Store(i, context, level, level);
    }
    writer.Finish();
  }
}

void Feed(const float* errors, const float* factors, uint32_t factor_stride, int count, int rows, float* into) {
  int i = 0;
  for (; i + 2 * kWidth <= rows; i += 2 * kWidth) {  // two sums at a time, which do not wait for each other
    VF a = hn::LoadU(F(), into + i), b = hn::LoadU(F(), into + i + kWidth);
    const float* from = errors + i;
    for (int p = 0; p < count; ++p, from += rows) {
      const VF factor = hn::Set(F(), factors[static_cast<size_t>(p) * factor_stride]);
      a = hn::Sub(a, hn::Mul(factor, hn::LoadU(F(), from)));
      b = hn::Sub(b, hn::Mul(factor, hn::LoadU(F(), from + kWidth)));
    }
    hn::StoreU(a, F(), into + i);
    hn::StoreU(b, F(), into + i + kWidth);
  }
  for (; i < rows; ++i) {
    for (int p = 0; p < count; ++p) {
      into[i] -= factors[static_cast<size_t>(p) * factor_stride] * errors[static_cast<ptrdiff_t>(p) * rows + i];
    }
  }
}

const ColumnKernels& TargetKernels() {
  static const ColumnKernels kernels = {hwy::TargetName(HWY_TARGET), Plain, Dependent, Feed};
  return kernels;
}

#else

const ColumnKernels& TargetKernels() { return ScalarColumnKernels(); }

#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::nsq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::nsq {

HWY_EXPORT(TargetKernels);

const ColumnKernels& SimdColumnKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

int64_t ColumnTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseColumnTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::nsq

#endif  // HWY_ONCE
