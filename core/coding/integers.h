// Small arrays beside the weights (scale indices, classes): each coded near its order-0 entropy, or that of its
// differences, with an adaptive binary arithmetic coder. README.md has the form bit by bit.
#ifndef NASHSWARM_CORE_CODING_INTEGERS_H_
#define NASHSWARM_CORE_CODING_INTEGERS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/coding/bits.h"

namespace nashswarm::coding {

// |value| <= 2^24. The length of the array is not written.
constexpr int32_t kMaxSideInteger = 1 << 24;
void WriteIntegers(absl::Span<const int32_t> values, BitWriter& out);

// Fills `values`, whose length the caller knows and has bounded (a constant array takes the same few bits whatever its
// length). DATA_LOSS / ARRAY_CORRUPT when the stream ends early or a value lies outside least..greatest.
absl::Status ReadIntegers(BitReader& in, int32_t least, int32_t greatest, absl::Span<int32_t> values);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_INTEGERS_H_
