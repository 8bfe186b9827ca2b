#include "core/quant/baseline.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/half.h"

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
  Ladder(float least, float greatest, int bits) : lo(least) {
    const double width = static_cast<double>(greatest) - least, steps = (1 << bits) - 1;
    step = width / steps;
    inverse = width > 0.0 ? steps / width : 0.0;
  }
  uint8_t Nearest(float x) const {
    constexpr double kIntegers = 0x1.8p52;  // doubles of this size are integers: the sum rounds, halves to even
    return static_cast<uint8_t>(((x - lo) * inverse + kIntegers) - kIntegers);
  }
  float At(uint8_t level) const { return static_cast<float>(lo + level * step); }
  double lo, step, inverse;
};

// The nearest half that is a number: rounding makes infinity of what lies beyond the greatest.
uint16_t ToFiniteHalf(float x) {
  constexpr float kGreatest = 65504;
  return FloatToHalf(std::clamp(x, -kGreatest, kGreatest));
}

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

UniformCodes CodeUniform(absl::Span<const float> weights, int bits) {
  UniformCodes out;
  if (weights.empty()) return out;
  Range range;
  for (const float x : weights) range.Cover(x);
  out.least = range.lo, out.greatest = range.hi;
  const Ladder ladder(range.lo, range.hi, bits);
  out.codes.resize(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) out.codes[i] = ladder.Nearest(weights[i]);
  return out;
}

void DecodeUniform(const UniformCodes& coded, int bits, absl::Span<float> decoded) {
  const Ladder ladder(coded.least, coded.greatest, bits);
  for (size_t i = 0; i < decoded.size(); ++i) decoded[i] = ladder.At(coded.codes[i]);
}

MagnitudeCodes CodeByMagnitude(absl::Span<const float> weights) {
  const uint64_t tenth = weights.size() / 10, fifth = weights.size() / 5;
  MagnitudeCodes out;
  out.classes.resize(weights.size());
  std::array<std::vector<float>, kMagnitudeClasses> members;
  ForEachClass(weights, CutAt(weights, tenth), CutAt(weights, tenth + fifth), [&](size_t i, int c) {
    out.classes[i] = static_cast<uint8_t>(c);
    members[c].push_back(weights[i]);
  });
  for (int c = 0; c < kMagnitudeClasses; ++c) out.members[c] = CodeUniform(members[c], kMagnitudeBits[c]);
  return out;
}

void DecodeByMagnitude(const MagnitudeCodes& coded, absl::Span<float> decoded) {
  std::array<std::vector<float>, kMagnitudeClasses> members;
  for (int c = 0; c < kMagnitudeClasses; ++c) {
    members[c].resize(coded.members[c].codes.size());
    DecodeUniform(coded.members[c], kMagnitudeBits[c], absl::MakeSpan(members[c]));
  }
  std::array<size_t, kMagnitudeClasses> next{};
  for (size_t i = 0; i < decoded.size(); ++i) {
    const uint8_t c = coded.classes[i];
    decoded[i] = members[c][next[c]++];
  }
}

GroupCodes CodeInGroups(absl::Span<const float> weights, uint64_t row_weights, int bits, uint64_t group) {
  const float top = static_cast<float>((1 << bits) - 1);
  GroupCodes out;
  out.codes.reserve(weights.size());
  for (uint64_t row = 0; row < weights.size(); row += row_weights) {
    for (uint64_t first = 0; first < row_weights; first += group) {
      const auto members = weights.subspan(row + first, std::min(group, row_weights - first));
      const auto [lo, hi] = std::minmax_element(members.begin(), members.end());
      out.least.push_back(ToFiniteHalf(*lo));
      const float origin = HalfToFloat(out.least.back());
      out.step.push_back(ToFiniteHalf((*hi - origin) / top));
      const float width = HalfToFloat(out.step.back());
      for (const float x : members) {
        const float level = width > 0 ? std::clamp(std::nearbyint((x - origin) / width), 0.0f, top) : 0.0f;
        out.codes.push_back(static_cast<uint8_t>(level));
      }
    }
  }
  return out;
}

void DecodeInGroups(const GroupCodes& coded, uint64_t row_weights, uint64_t group, absl::Span<float> decoded) {
  size_t g = 0;
  for (uint64_t row = 0; row < decoded.size(); row += row_weights) {
    for (uint64_t first = 0; first < row_weights; first += group, ++g) {
      const float origin = HalfToFloat(coded.least[g]), width = HalfToFloat(coded.step[g]);
      for (uint64_t i = row + first; i < row + std::min(first + group, row_weights); ++i) {
        decoded[i] = origin + static_cast<float>(coded.codes[i]) * width;
      }
    }
  }
}

uint64_t RoundUniform(absl::Span<const float> weights, int bits, absl::Span<float> decoded) {
  DecodeUniform(CodeUniform(weights, bits), bits, decoded);
  return BytesOfBits(weights.size() * static_cast<uint64_t>(bits)) + kRangeBytes;
}

uint64_t RoundByMagnitude(absl::Span<const float> weights, absl::Span<float> decoded) {
  constexpr double kMapBits = 1.1567796494470395;  // -0.1 log2 0.1 - 0.2 log2 0.2 - 0.7 log2 0.7
  const MagnitudeCodes coded = CodeByMagnitude(weights);
  DecodeByMagnitude(coded, decoded);
  uint64_t bits = static_cast<uint64_t>(std::ceil(kMapBits * static_cast<double>(weights.size())));
  for (int c = 0; c < kMagnitudeClasses; ++c) bits += coded.members[c].codes.size() * static_cast<uint64_t>(kMagnitudeBits[c]);
  return BytesOfBits(bits) + kMagnitudeClasses * kRangeBytes;
}

uint64_t RoundInGroups(absl::Span<const float> weights, uint64_t row_weights, int bits, uint64_t group, absl::Span<float> decoded) {
  const GroupCodes coded = CodeInGroups(weights, row_weights, bits, group);
  DecodeInGroups(coded, row_weights, group, decoded);
  return BytesOfBits(weights.size() * static_cast<uint64_t>(bits)) + coded.least.size() * 2 * sizeof(uint16_t);
}

}  // namespace nashswarm::quant
