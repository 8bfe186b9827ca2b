#include "core/quant/baseline.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace nashswarm::quant {
namespace {

constexpr uint64_t kRangeBytes = 2 * sizeof(float);

struct Range {
  float lo = std::numeric_limits<float>::infinity(), hi = -std::numeric_limits<float>::infinity();
  void Cover(float x) {
    lo = x < lo ? x : lo;
    hi = x > hi ? x : hi;
  }
};

// Levels evenly spaced over a range. In double precision, in which no range of floats overflows.
struct Ladder {
  Ladder() = default;
  Ladder(const Range& range, int bits) : lo(range.lo) {
    const double width = static_cast<double>(range.hi) - range.lo, steps = (1 << bits) - 1;
    step = width / steps;
    inverse = width > 0.0 ? steps / width : 0.0;
  }
  float Nearest(float x) const {
    constexpr double kIntegers = 0x1.8p52;  // doubles of this size are integers: the sum rounds, halves to even
    const double level = ((x - lo) * inverse + kIntegers) - kIntegers;
    return static_cast<float>(lo + level * step);
  }
  double lo = 0.0, step = 0.0, inverse = 0.0;
};

uint64_t BytesOfBits(uint64_t bits) { return bits / 8 + (bits % 8 != 0); }

// Magnitudes as integers of the same order.
uint32_t Magnitude(float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffffu; }

// How far a class reaches down: all weights above `magnitude`, and the first `ties` that are equal to it.
struct Cut {
  uint32_t magnitude = 0xffffffffu;
  uint64_t ties = 0;
};

// The cut that lets exactly the `count` greatest through. Two histograms find it, of the upper and then of the lower
// half of the bits: the weights are read twice and never moved.
Cut CutAt(absl::Span<const float> weights, uint64_t count) {
  if (count == 0) return {};
  std::vector<uint64_t> upper(1 << 16), lower(1 << 16);
  for (const float x : weights) ++upper[Magnitude(x) >> 16];
  uint64_t above = 0;  // weights in the bins passed
  const auto descend = [&above, count](const std::vector<uint64_t>& bins) {
    uint32_t bin = 0xffff;
    while (above + bins[bin] < count) above += bins[bin--];
    return bin;
  };
  const uint32_t high = descend(upper);
  for (const float x : weights) lower[Magnitude(x) & 0xffff] += Magnitude(x) >> 16 == high;
  const uint32_t low = descend(lower);
  return {high << 16 | low, count - above};
}

// Hands every weight's class, 0, 1 or 2, to `visit(i, class)` in order.
template <typename Visit>
void ForEachClass(absl::Span<const float> weights, Cut first, Cut second, Visit visit) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const uint32_t magnitude = Magnitude(weights[i]);
    const bool in_second = magnitude > second.magnitude || (magnitude == second.magnitude && second.ties > 0);
    if (magnitude == second.magnitude && second.ties > 0) --second.ties;
    const bool in_first = magnitude > first.magnitude || (magnitude == first.magnitude && first.ties > 0);
    if (magnitude == first.magnitude && first.ties > 0) --first.ties;
    visit(i, in_first ? 0 : in_second ? 1 : 2);
  }
}

}  // namespace

uint64_t RoundUniform(absl::Span<const float> weights, int bits, absl::Span<float> decoded) {
  Range range;
  for (const float x : weights) range.Cover(x);
  const Ladder ladder(range, bits);
  for (size_t i = 0; i < weights.size(); ++i) decoded[i] = ladder.Nearest(weights[i]);
  return BytesOfBits(weights.size() * static_cast<uint64_t>(bits)) + kRangeBytes;
}

uint64_t RoundByMagnitude(absl::Span<const float> weights, absl::Span<float> decoded) {
  constexpr int kClasses = 3, kBits[kClasses] = {8, 4, 2};
  constexpr double kMapBits = 1.1567796494470395;  // -0.1 log2 0.1 - 0.2 log2 0.2 - 0.7 log2 0.7
  const uint64_t size = weights.size(), tenth = size / 10, fifth = size / 5;
  const Cut first = CutAt(weights, tenth), second = CutAt(weights, tenth + fifth);

  Range ranges[kClasses];
  ForEachClass(weights, first, second, [&](size_t i, int c) { ranges[c].Cover(weights[i]); });
  Ladder ladders[kClasses];
  for (int c = 0; c < kClasses; ++c) ladders[c] = Ladder(ranges[c], kBits[c]);
  // The classes of equals go by position, and each weight is read before it is overwritten.
  ForEachClass(weights, first, second, [&](size_t i, int c) { decoded[i] = ladders[c].Nearest(weights[i]); });

  const uint64_t bits = tenth * 8 + fifth * 4 + (size - tenth - fifth) * 2;
  const auto map_bits = static_cast<uint64_t>(std::ceil(kMapBits * static_cast<double>(size)));
  return BytesOfBits(bits + map_bits) + kClasses * kRangeBytes;
}

}  // namespace nashswarm::quant
