// Two plain ways to store a tensor in fewer bits, known from published tables and measured for comparison: only what
// the weights decode to, and an honest count of the bytes that would have to be stored. Not formats: nothing is
// written.
#ifndef NASHSWARM_CORE_QUANT_BASELINE_H_
#define NASHSWARM_CORE_QUANT_BASELINE_H_

#include <cstdint>

#include "absl/types/span.h"

namespace nashswarm::quant {

// Both take a tensor of any length, finite weights, and a span as long for what they decode to, which may be the
// weights' own memory. Both return bytes. A range of a single value decodes to that value.

// Rounds to 2^bits levels (1 <= bits <= 8) evenly spaced from the least to the greatest weight, halves to even.
// Stored: `bits` a weight, and two floats.
uint64_t RoundUniform(absl::Span<const float> weights, int bits, absl::Span<float> decoded);

// Ranks the weights by magnitude, the earlier first among equals: the first tenth (rounded down) gets 8 bits, the next
// fifth (rounded down) 4, the rest 2, each class rounded uniformly over its own range.
// Stored: those bits, two floats a class, and which weight is in which class at the entropy of the three shares.
uint64_t RoundByMagnitude(absl::Span<const float> weights, absl::Span<float> decoded);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_BASELINE_H_
