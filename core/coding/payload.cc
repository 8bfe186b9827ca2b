#include "core/coding/payload.h"

#include <bit>

#include "core/base/status.h"

namespace nashswarm::coding {
namespace {

constexpr uint8_t kLaneBits = 0x07, kHasEscapes = 0x08;

// LEB128: 7 bits a byte, lowest first, the top bit set on all but the last.
void PutLength(uint64_t length, std::vector<uint8_t>& out) {
  for (; length >= 128; length >>= 7) out.push_back(static_cast<uint8_t>(length | 128));
  out.push_back(static_cast<uint8_t>(length));
}

// Takes the length off the front of `bytes`; of at most 5 bytes.
bool TakeLength(absl::Span<const uint8_t>& bytes, uint64_t& length) {
  length = 0;
  for (int shift = 0; shift < 35 && !bytes.empty(); shift += 7) {
    const uint8_t byte = bytes[0];
    bytes.remove_prefix(1);
    length |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

}  // namespace

absl::Status TileCorrupt(absl::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "TILE_CORRUPT", absl::StrCat("tile: ", what));
}

absl::StatusOr<Payload> ParsePayload(absl::Span<const uint8_t> bytes) {
  if (bytes.empty()) return TileCorrupt("its payload is empty");
  const uint8_t head = bytes[0];
  bytes.remove_prefix(1);
  if ((head & ~(kLaneBits | kHasEscapes)) != 0 || (head & kLaneBits) > 5) {
    return TileCorrupt("its first byte is unknown");
  }
  Payload payload;
  payload.lanes = 1 << (head & kLaneBits);
  uint64_t escape_bytes = 0;
  if ((head & kHasEscapes) != 0 && (!TakeLength(bytes, escape_bytes) || escape_bytes == 0)) {
    return TileCorrupt("the length of its escapes is malformed");
  }
  const size_t state_bytes = 4 * static_cast<size_t>(payload.lanes);
  if (bytes.size() < state_bytes || bytes.size() - state_bytes < escape_bytes) {
    return TileCorrupt("its payload ends early");
  }
  const size_t word_bytes = bytes.size() - state_bytes - escape_bytes;
  if (word_bytes % 2 != 0) return TileCorrupt("its words are cut in the middle");
  payload.states = bytes.data();
  payload.words = bytes.subspan(state_bytes, word_bytes);
  payload.escapes = bytes.subspan(state_bytes + word_bytes);
  return payload;
}

std::vector<uint8_t> JoinPayload(absl::Span<const uint32_t> states, absl::Span<const uint16_t> words,
                                 absl::Span<const uint8_t> escapes) {
  std::vector<uint8_t> out;
  out.reserve(8 + 4 * states.size() + 2 * words.size() + escapes.size());
  const int lane_bits = std::countr_zero(states.size());
  out.push_back(static_cast<uint8_t>(lane_bits | (escapes.empty() ? 0 : kHasEscapes)));
  if (!escapes.empty()) PutLength(escapes.size(), out);
  for (const uint32_t state : states) {
    for (int byte = 0; byte < 4; ++byte) out.push_back(static_cast<uint8_t>(state >> (8 * byte)));
  }
  for (const uint16_t word : words) {
    out.push_back(static_cast<uint8_t>(word));
    out.push_back(static_cast<uint8_t>(word >> 8));
  }
  out.insert(out.end(), escapes.begin(), escapes.end());
  return out;
}

}  // namespace nashswarm::coding
