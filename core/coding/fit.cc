// FrequencyTable::Fit. The levels are chosen by dynamic programming over their second differences: bits of the data
// plus bits of the table. One pass serves every greatest magnitude, since its cost is that of a prefix plus escapes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "core/coding/frequency_table.h"

namespace nashswarm::coding {
namespace {

constexpr int kReach = 2;                  // levels looked at on either side of the nearest one
constexpr int kChoices = 2 * kReach + 1;
constexpr int kOrders = 4, kCurvatures = 4;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeastProbability = 1.0 / kSlots;

double Total(absl::Span<const double> counts) { return std::accumulate(counts.begin(), counts.end(), 0.0); }

// What the histogram says about the levels, before any are chosen.
struct Histogram {
  explicit Histogram(absl::Span<const double> magnitude_counts) : counts(magnitude_counts) {
    while (!counts.empty() && counts.back() == 0) counts.remove_suffix(1);
    total = Total(counts);
    reach = static_cast<int>(std::min<size_t>(kMaxMagnitude, counts.empty() ? 0 : counts.size() - 1));
    zero = total > 0 ? std::max(counts[0] / total, kLeastProbability) : 1;
    lowest = static_cast<int>(std::ceil(4 * std::log2(zero / kLeastProbability)));
  }

  // The bits of `count` symbols, each of `symbols` equally probable ones, that have level `level`. Probabilities need
  // not sum to one: the last term is the price of what they take from the others (log z < z - 1).
  double Bits(double count, int symbols, int level) const {
    const double p = std::max(zero * std::exp2(-0.25 * level), kLeastProbability);
    return count * -std::log2(p) + total * symbols * p / std::log(2.0);
  }

  // The level of a probability; beyond `lowest` all levels mean the least probability.
  int Nearest(double probability) const {
    if (probability <= kLeastProbability) return lowest;
    return std::min(lowest, static_cast<int>(std::lround(4 * std::log2(zero / probability))));
  }

  absl::Span<const double> counts;  // without zeros at the end
  double total;
  int reach;     // the greatest magnitude that may have a symbol
  double zero;   // the probability that level 0 stands for
  int lowest;
};

// The extra bits of escapes when m is the greatest magnitude: signs and lengths beyond m.
double EscapeBits(const Histogram& histogram, int m) {
  double bits = 0;
  for (size_t v = m + 1; v < histogram.counts.size(); ++v) {
    if (histogram.counts[v] > 0) bits += histogram.counts[v] * (1 + GolombBits(static_cast<uint32_t>(v - m - 1), 0));
  }
  return bits;
}

struct Choice {
  double bits = kInfinity;
  int order = 0, curvature = 0;
  int escape_level = 0;
  bool escape = false;
  std::vector<int> levels;  // of 0..m
};

// Finds the best levels for one way of writing them.
class Search {
 public:
  Search(const Histogram& histogram, int order, int curvature)
      : histogram_(histogram), order_(order), curvature_(curvature), from_(histogram.reach + 1) {
    for (int v = 0; v <= histogram.reach; ++v) {
      center_.push_back(histogram.Nearest(v == 0 ? histogram.zero : histogram.counts[v] / 2 / histogram.total));
    }
  }

  void Run(absl::Span<const double> escape_bits, Choice& best) {
    double zero_bits = histogram_.Bits(histogram_.counts[0], 1, 0) + 9;
    Consider(0, 0, 0, zero_bits, escape_bits[0], best);
    if (histogram_.reach == 0) return;
    std::vector<double> cost(kChoices * kChoices, kInfinity), next;  // [choice of v - 1][choice of v]
    for (int b = 0; b < kChoices; ++b) {
      const int level = Level(1, b);
      cost[kReach * kChoices + b] =
          zero_bits + 4 + GolombBits(ZigZag(level), 2) + histogram_.Bits(histogram_.counts[1], 2, level);
    }
    ConsiderAll(1, cost, escape_bits[1], best);
    for (int v = 2; v <= histogram_.reach; ++v) {
      Step(v, cost, next);
      cost.swap(next);
      ConsiderAll(v, cost, escape_bits[v], best);
    }
  }

 private:
  int Level(int v, int choice) const { return v == 0 ? 0 : center_[v] + choice - kReach; }

  void Step(int v, const std::vector<double>& cost, std::vector<double>& next) {
    next.assign(kChoices * kChoices, kInfinity);
    from_[v].assign(kChoices * kChoices, 0);
    for (int c = 0; c < kChoices; ++c) {
      const int level = Level(v, c);
      const double data = histogram_.Bits(histogram_.counts[v], 2, level);
      for (int b = 0; b < kChoices; ++b) {
        for (int a = 0; a < kChoices; ++a) {
          const int bend = level - 2 * Level(v - 1, b) + Level(v - 2, a);
          const double bits = cost[a * kChoices + b] + GolombBits(ZigZag(bend - curvature_), order_) + data;
          if (bits < next[b * kChoices + c]) {
            next[b * kChoices + c] = bits;
            from_[v][b * kChoices + c] = static_cast<uint8_t>(a);
          }
        }
      }
    }
  }

  void ConsiderAll(int m, const std::vector<double>& cost, double escape_bits, Choice& best) {
    const auto least = std::min_element(cost.begin(), cost.end());
    const int index = static_cast<int>(least - cost.begin());
    Consider(m, index / kChoices, index % kChoices, *least, escape_bits, best);
  }

  // Table 0..m whose last two choices are a and b.
  void Consider(int m, int a, int b, double bits, double escape_bits, Choice& best) {
    const double escapes = Total(histogram_.counts.subspan(std::min<size_t>(m + 1, histogram_.counts.size())));
    const int level = histogram_.Nearest(escapes / histogram_.total);
    if (escapes > 0) {
      bits += escape_bits + histogram_.Bits(escapes, 1, level) + GolombBits(ZigZag(level - Level(m, b)), 3);
    }
    if (bits >= best.bits) return;
    best = {bits, order_, curvature_, level, escapes > 0, std::vector<int>(m + 1)};
    for (int v = m; v >= 1; --v) {
      best.levels[v] = Level(v, b);
      const int before = v >= 2 ? from_[v][a * kChoices + b] : 0;
      b = a;
      a = before;
    }
  }

  const Histogram& histogram_;
  int order_, curvature_;
  std::vector<int> center_;
  std::vector<std::vector<uint8_t>> from_;  // [v][choice of v - 1][choice of v]: choice of v - 2
};

}  // namespace

FrequencyTable FrequencyTable::Fit(absl::Span<const double> magnitude_counts) {
  FrequencyTable table;
  const Histogram histogram(magnitude_counts);
  if (histogram.counts.size() <= 1) return table;
  std::vector<double> escape_bits;
  for (int m = 0; m <= histogram.reach; ++m) escape_bits.push_back(EscapeBits(histogram, m));
  Choice best;
  for (int order = 0; order < kOrders; ++order) {
    for (int curvature = 0; curvature < kCurvatures; ++curvature) {
      Search(histogram, order, curvature).Run(escape_bits, best);
    }
  }
  table.max_magnitude_ = static_cast<int>(best.levels.size()) - 1;
  table.order_ = static_cast<uint8_t>(best.order);
  table.curvature_ = static_cast<uint8_t>(best.curvature);
  table.escape_ = best.escape;
  table.escape_level_ = best.escape ? best.escape_level : 0;
  for (int v = 1; v <= table.max_magnitude_; ++v) table.levels_[v] = static_cast<int16_t>(best.levels[v]);
  table.Normalize();
  return table;
}

}  // namespace nashswarm::coding
