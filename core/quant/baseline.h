// Plain ways to store a tensor in fewer bits, known from published tables and measured for comparison: the codes, what they
// decode to, and an honest count of the bytes they need.
#ifndef NASHSWARM_CORE_QUANT_BASELINE_H_
#define NASHSWARM_CORE_QUANT_BASELINE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::quant {

// Levels evenly spaced from the least to the greatest weight, and one code a weight: the index of its level, halves to even.
struct UniformCodes {
  float least = 0, greatest = 0;
  std::vector<uint8_t> codes;
};
UniformCodes CodeUniform(absl::Span<const float> weights, int bits);  // 1 <= bits <= 8
// decoded.size() == codes.size().
void DecodeUniform(const UniformCodes& coded, int bits, absl::Span<float> decoded);

// Ranks the weights by magnitude, the earlier first among equals: the first tenth (rounded down) is class 0 and gets 8 bits, the
// next fifth (rounded down) class 1 and 4, the rest class 2 and 2, each coded uniformly over its own range.
inline constexpr int kMagnitudeClasses = 3;
inline constexpr std::array<int, kMagnitudeClasses> kMagnitudeBits = {8, 4, 2};
struct MagnitudeCodes {
  std::vector<uint8_t> classes;                             // of every weight
  std::array<UniformCodes, kMagnitudeClasses> members;      // of a class, in order
};
MagnitudeCodes CodeByMagnitude(absl::Span<const float> weights);
void DecodeByMagnitude(const MagnitudeCodes& coded, absl::Span<float> decoded);

// Round to nearest in groups of `group` weights of a row (the last of a row may be shorter): every group has its least weight and
// its step as halves, within their range: weights beyond +-65504 saturate, so finite weights decode to finite ones.
struct GroupCodes {
  std::vector<uint16_t> least, step;  // of every group, as halves
  std::vector<uint8_t> codes;
};
GroupCodes CodeInGroups(absl::Span<const float> weights, uint64_t row_weights, int bits, uint64_t group);  // 1 <= bits <= 8
void DecodeInGroups(const GroupCodes& coded, uint64_t row_weights, uint64_t group, absl::Span<float> decoded);

// All three take a tensor of any length, finite weights, and a span as long for what they decode to, which may be the
// weights' own memory. All return bytes. A range of a single value decodes to that value.

// CodeUniform and back. Stored: `bits` a weight, and two floats.
uint64_t RoundUniform(absl::Span<const float> weights, int bits, absl::Span<float> decoded);

// CodeByMagnitude and back. Stored: those bits, two floats a class, and which weight is in which class at the entropy of the
// three shares.
uint64_t RoundByMagnitude(absl::Span<const float> weights, absl::Span<float> decoded);

// CodeInGroups and back. Stored: `bits` a weight, and two halves a group.
uint64_t RoundInGroups(absl::Span<const float> weights, uint64_t row_weights, int bits, uint64_t group, absl::Span<float> decoded);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_BASELINE_H_
