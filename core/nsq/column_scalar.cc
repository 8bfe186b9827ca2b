// The plain kernels: one lane after the other.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/coding/trellis.h"
#include "core/nsq/column_kernels.h"

namespace nashswarm::nsq {
namespace {

struct Cost {
  float cost;
  bool upper;
};

// The better of two neighbours, `below` and `above` steps away.
Cost Better(float below, float above, uint32_t pair, float price) {
  const float lower = below * below + price * static_cast<float>(pair & 0xffff);
  const float upper = above * above + price * static_cast<float>(pair >> 16);
  return upper < lower ? Cost{upper, true} : Cost{lower, false};
}

void Store(const ColumnsProblem& p, int at, int lane, int table, int level, int steps, ColumnsChoice* choice) {
  const float value = p.values[at];
  const float off = value - std::copysign(static_cast<float>(steps), value);
  choice->integers[at] = std::signbit(value) ? -level : level;
  choice->errors[at] = off;
  choice->cells[at] = static_cast<uint32_t>(table * kHistogram + std::min(level, kHistogram - 1));
  choice->squared_error[lane] += static_cast<double>(off) * static_cast<double>(off);
}

void StoreNothing(const ColumnsProblem& p, int at, ColumnsChoice* choice) {
  choice->integers[at] = 0;
  choice->errors[at] = 0;
  choice->cells[at] = static_cast<uint32_t>(p.rates->tables() * kHistogram);
}

// One step of the search: the costs of the best paths to each state move on by one row.
uint32_t Advance(const float* cost, float* path) {
  float next[coding::kTrellisStates];
  uint32_t parities = 0;
  for (int s = 0; s < coding::kTrellisStates; ++s) {
    const int even = coding::PreviousState(s, 0), odd = coding::PreviousState(s, 1);
    const float by_even = path[even] + cost[2 * coding::QuantizerOf(even)];
    const float by_odd = path[odd] + cost[2 * coding::QuantizerOf(odd) + 1];
    const bool is_odd = by_odd < by_even;
    next[s] = is_odd ? by_odd : by_even;
    parities |= static_cast<uint32_t>(is_odd) << s;
  }
  std::copy(next, next + coding::kTrellisStates, path);
  return parities;
}

uint32_t Decide(float a, const uint32_t* pairs, float price, float* path) {
  const int whole = static_cast<int>(a);
  float cost[ChoiceRates::kSets];
  uint32_t decision = static_cast<uint32_t>(whole) << kWholeBit;
  for (int set = 0; set < ChoiceRates::kSets; ++set) {
    const int q = set >> 1, parity = set & 1, t = Interval(q, parity, whole);
    const uint32_t pair = pairs[set * ChoiceRates::kIntervals + std::min(t, ChoiceRates::kIntervals - 1)];
    const Cost best = Better(a - static_cast<float>(LowerSteps(q, parity, t)),
                             a - static_cast<float>(UpperSteps(q, parity, t)), pair, price);
    cost[set] = best.cost;
    decision |= static_cast<uint32_t>(best.upper) << (kUpperBit + set);
  }
  return decision | Advance(cost, path);
}

// Fills the decisions of a lane; the state its best path ends in.
int SearchLane(const ColumnsProblem& p, int lane, uint32_t* decisions) {
  float path[coding::kTrellisStates];
  std::fill(path + 1, path + coding::kTrellisStates, std::numeric_limits<float>::infinity());
  path[0] = 0;
  const float price = p.price[lane] * ChoiceRates::kUnit;
  for (int i = 0; i < p.lane_rows[lane]; ++i) {
    const int at = i * kLanes + lane, context = p.row_class[at] + p.column_class[lane];
    const uint32_t* pairs = p.rates->pairs() + static_cast<ptrdiff_t>(context) * (ChoiceRates::kSets * ChoiceRates::kIntervals);
    decisions[at] = Decide(std::min(std::fabs(p.values[at]), kGreatest), pairs, price, path);
    if (i % kRebaseRows != kRebaseRows - 1) continue;
    const float least = *std::min_element(path, path + coding::kTrellisStates);
    for (float& cost : path) cost -= least;
  }
  return static_cast<int>(std::min_element(path, path + coding::kTrellisStates) - path);
}

void TraceLane(const ColumnsProblem& p, int lane, int state, const uint32_t* decisions, ColumnsChoice* choice) {
  for (int i = p.rows - 1; i >= 0; --i) {
    const int at = i * kLanes + lane;
    if (i >= p.lane_rows[lane]) {
      StoreNothing(p, at, choice);
      continue;
    }
    const int parity = decisions[at] >> state & 1;
    state = coding::PreviousState(state, parity);
    const int q = coding::QuantizerOf(state), upper = decisions[at] >> (kUpperBit + 2 * q + parity) & 1;
    const int level = 2 * Interval(q, parity, static_cast<int>(decisions[at] >> kWholeBit)) + parity + 2 * upper;
    Store(p, at, lane, 2 * (p.row_class[at] + p.column_class[lane]) + q, level,
          static_cast<int>(coding::Reconstruction(q, level)), choice);
  }
}

void Dependent(const ColumnsProblem& p, uint32_t* decisions, ColumnsChoice* choice) {
  for (int lane = 0; lane < kLanes; ++lane) {
    choice->squared_error[lane] = 0;
    TraceLane(p, lane, SearchLane(p, lane, decisions), decisions, choice);
  }
}

void Plain(const ColumnsProblem& p, ColumnsChoice* choice) {
  std::fill(choice->squared_error, choice->squared_error + kLanes, 0.0);
  for (int at = p.rows * kLanes - 1; at >= 0; --at) {
    const int lane = at % kLanes;
    if (at / kLanes >= p.lane_rows[lane]) {
      StoreNothing(p, at, choice);
      continue;
    }
    const float a = std::min(std::fabs(p.values[at]), kGreatest);
    const int whole = static_cast<int>(a), context = p.row_class[at] + p.column_class[lane];
    const uint32_t pair = p.rates->pairs()[context * kRateWidth + std::min(whole, kRateWidth - 1)];
    const float below = a - static_cast<float>(whole), above = a - static_cast<float>(whole + 1);
    const int level = whole + static_cast<int>(Better(below, above, pair, p.price[lane] * ChoiceRates::kUnit).upper);
    Store(p, at, lane, context, level, level, choice);
  }
}

void Feed(const float* errors, const float* factors, uint32_t factor_stride, int count, int rows, float* into) {
  for (int p = 0; p < count; ++p) {
    const float factor = factors[static_cast<size_t>(p) * factor_stride];
    for (int i = 0; i < rows; ++i) into[i] -= factor * errors[static_cast<ptrdiff_t>(p) * rows + i];
  }
}

}  // namespace

const ColumnKernels& ScalarColumnKernels() {
  static const ColumnKernels kernels = {"scalar", Plain, Dependent, Feed};
  return kernels;
}

}  // namespace nashswarm::nsq
