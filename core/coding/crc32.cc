#include "core/coding/crc32.h"

#include <zlib.h>

namespace nashswarm::coding {

uint32_t Crc32(absl::Span<const uint8_t> bytes) {
  return static_cast<uint32_t>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

}  // namespace nashswarm::coding
