#include "core/nsq/column.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/coding/trellis.h"

namespace nashswarm::nsq {
namespace {

// The eight states are exactly one AVX register, so the search down the trellis is written for AVX2 and has a scalar twin.
bool g_scalar = false;

bool UseAvx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has && !g_scalar;
}

constexpr float kGreatest = 60000.0f;

// The two ways that lead to each state: the state before, and which of the four (quantizer, parity) costs it takes.
// Follows from coding::NextState; checked by a test.
constexpr int kBefore[2][8] = {{0, 0, 4, 4, 7, 5, 3, 1}, {2, 2, 6, 6, 5, 7, 1, 3}};
constexpr int kCost[2][8] = {{0, 1, 0, 1, 2, 2, 2, 2}, {1, 0, 1, 0, 3, 3, 3, 3}};

struct Choice {
  float cost;
  int level;
};

// The better of two neighbours in the set of one quantizer and parity: `low` steps or four more, which are the integers
// `level` and two more.
inline Choice Better(float a, float low, int level, const float* rates, float price) {
  const int first = std::min(std::abs(level), kRateWidth - 1), second = std::min(level + 2, kRateWidth - 1);
  const float below = a - low, above = a - (low + 4.0f);
  const float cost_below = below * below + price * rates[first], cost_above = above * above + price * rates[second];
  return cost_above < cost_below ? Choice{cost_above, level + 2} : Choice{cost_below, std::abs(level)};
}

__attribute__((target_clones("avx2", "default"))) void ChooseSets(const ColumnProblem& p, float* costs, int16_t* levels) {
  for (int i = 0; i < p.rows; ++i) {
    const float a = std::min(std::abs(p.values[i]), kGreatest);
    const float* even = p.rates + static_cast<ptrdiff_t>(2 * (p.row_class[i] + p.column_class)) * kRateWidth;
    const float* odd = even + kRateWidth;
    // Truncation is the floor of what is not negative. Where the lower neighbour would be on the other side of zero it
    // is farther than the upper one and costs as many bits, so it never wins and need not be kept apart.
    const int t0 = static_cast<int>(a * 0.25f), t1 = static_cast<int>((a + 2.0f) * 0.25f) - 1;
    const int t2 = static_cast<int>((a + 3.0f) * 0.25f) - 1, t3 = static_cast<int>((a + 1.0f) * 0.25f);
    const Choice q0_even = Better(a, static_cast<float>(4 * t0), 2 * t0, even, p.price);
    const Choice q0_odd = Better(a, static_cast<float>(4 * t1 + 2), 2 * t1 + 1, even, p.price);
    const Choice q1_odd = Better(a, static_cast<float>(4 * t2 + 1), 2 * t2 + 1, odd, p.price);
    // 0, 3, 7, 11, ...: the first gap is three wide.
    const int n3 = std::max(4 * t3 - 1, 0);
    const int first = std::min(2 * t3, kRateWidth - 1), second = std::min(2 * t3 + 2, kRateWidth - 1);
    const float below = a - static_cast<float>(n3), above = a - static_cast<float>(4 * t3 + 3);
    const float cost_below = below * below + p.price * odd[first], cost_above = above * above + p.price * odd[second];
    const bool up = cost_above < cost_below;
    costs[4 * i] = q0_even.cost;
    costs[4 * i + 1] = q0_odd.cost;
    costs[4 * i + 2] = up ? cost_above : cost_below;
    costs[4 * i + 3] = q1_odd.cost;
    levels[4 * i] = static_cast<int16_t>(q0_even.level);
    levels[4 * i + 1] = static_cast<int16_t>(q0_odd.level);
    levels[4 * i + 2] = static_cast<int16_t>(up ? 2 * t3 + 2 : 2 * t3);
    levels[4 * i + 3] = static_cast<int16_t>(q1_odd.level);
  }
}

// Fills `taken`; the state the best path ends in.
int SearchScalar(const float* costs, int rows, uint8_t* taken) {
  float path[8] = {0};
  std::fill(path + 1, path + 8, std::numeric_limits<float>::infinity());
  for (int i = 0; i < rows; ++i) {
    const float* cost = costs + 4 * i;
    float next[8];
    unsigned bits = 0;
    for (int s = 0; s < 8; ++s) {
      const float a = path[kBefore[0][s]] + cost[kCost[0][s]], b = path[kBefore[1][s]] + cost[kCost[1][s]];
      const bool second = b < a;
      next[s] = second ? b : a;
      bits |= static_cast<unsigned>(second) << s;
    }
    std::copy(next, next + 8, path);
    taken[i] = static_cast<uint8_t>(bits);
  }
  return static_cast<int>(std::min_element(path, path + 8) - path);
}

__attribute__((target("avx2"))) int SearchAvx2(const float* costs, int rows, uint8_t* taken) {
  const __m256i before_a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kBefore[0])),
                before_b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kBefore[1])),
                cost_a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kCost[0])),
                cost_b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kCost[1]));
  float path[8] = {0};
  std::fill(path + 1, path + 8, std::numeric_limits<float>::infinity());
  __m256 paths = _mm256_loadu_ps(path);
  for (int i = 0; i < rows; ++i) {
    const __m256 cost = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(costs + 4 * i));
    const __m256 a = _mm256_add_ps(_mm256_permutevar8x32_ps(paths, before_a), _mm256_permutevar8x32_ps(cost, cost_a));
    const __m256 b = _mm256_add_ps(_mm256_permutevar8x32_ps(paths, before_b), _mm256_permutevar8x32_ps(cost, cost_b));
    paths = _mm256_min_ps(b, a);
    taken[i] = static_cast<uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(b, a, _CMP_LT_OQ)));
  }
  _mm256_storeu_ps(path, paths);
  return static_cast<int>(std::min_element(path, path + 8) - path);
}

void Trace(const ColumnProblem& p, const ColumnScratch& scratch, int state, int32_t* integers, float* steps) {
  for (int i = p.rows - 1; i >= 0; --i) {
    const int way = scratch.taken[i] >> state & 1;
    const int level = scratch.levels[4 * i + kCost[way][state]];
    state = kBefore[way][state];
    const auto magnitude = coding::Reconstruction(coding::QuantizerOf(state), level);
    const bool negative = p.values[i] < 0.0f;
    integers[i] = negative ? -level : level;
    steps[i] = static_cast<float>(negative ? -magnitude : magnitude);
  }
}

__attribute__((target_clones("avx2", "default"))) void ChoosePlain(const ColumnProblem& p, int32_t* integers, float* steps) {
  for (int i = 0; i < p.rows; ++i) {
    const float a = std::min(std::abs(p.values[i]), kGreatest);
    const float* rates = p.rates + static_cast<ptrdiff_t>(p.row_class[i] + p.column_class) * kRateWidth;
    const int low = static_cast<int>(a);
    const float below = a - static_cast<float>(low), above = a - static_cast<float>(low + 1);
    const float cost_below = below * below + p.price * rates[std::min(low, kRateWidth - 1)],
                cost_above = above * above + p.price * rates[std::min(low + 1, kRateWidth - 1)];
    const int level = cost_above < cost_below ? low + 1 : low;
    const int k = p.values[i] < 0.0f ? -level : level;
    integers[i] = k;
    steps[i] = static_cast<float>(k);
  }
}

}  // namespace

void ColumnScratch::Resize(int rows) {
  costs.resize(4 * static_cast<size_t>(rows));
  levels.resize(4 * static_cast<size_t>(rows));
  taken.resize(static_cast<size_t>(rows));
}

void ChooseColumn(const ColumnProblem& problem, ColumnScratch* scratch, int32_t* integers, float* steps) {
  if (!problem.dependent) return ChoosePlain(problem, integers, steps);
  scratch->Resize(problem.rows);
  ChooseSets(problem, scratch->costs.data(), scratch->levels.data());
  const auto search = UseAvx2() ? SearchAvx2 : SearchScalar;
  Trace(problem, *scratch, search(scratch->costs.data(), problem.rows, scratch->taken.data()), integers, steps);
}

void ForceScalarColumns(bool on) { g_scalar = on; }

}  // namespace nashswarm::nsq
