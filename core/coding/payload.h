// The parts of a tile's payload, and the values that its encoder and decoder share. README.md has the layout.
#ifndef NASHSWARM_CORE_CODING_PAYLOAD_H_
#define NASHSWARM_CORE_CODING_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace nashswarm::coding {

constexpr int kMaxLanes = 32;                   // four AVX2 vectors, enough to hide the latency of a look-up
constexpr uint32_t kLeastState = 1u << 16;      // a lane's state is 2^16..2^32 - 1 between symbols

struct Payload {
  int lanes = 0;
  const uint8_t* states = nullptr;              // 4 bytes a lane
  absl::Span<const uint8_t> words, escapes;     // whole words of 2 bytes
};

// Views into `bytes`. DATA_LOSS / TILE_CORRUPT.
absl::StatusOr<Payload> ParsePayload(absl::Span<const uint8_t> bytes);

// `states`: one per lane, whose number is a power of two up to 32. `words` in the order of reading.
std::vector<uint8_t> JoinPayload(absl::Span<const uint32_t> states, absl::Span<const uint16_t> words,
                                 absl::Span<const uint8_t> escapes);

absl::Status TileCorrupt(absl::string_view what);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_PAYLOAD_H_
