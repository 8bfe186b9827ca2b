// CRC-32 as in zlib, gzip and PNG (polynomial 0xEDB88320, reflected).
#ifndef NASHSWARM_CORE_CODING_CRC32_H_
#define NASHSWARM_CORE_CODING_CRC32_H_

#include <cstdint>

#include "absl/types/span.h"

namespace nashswarm::coding {

uint32_t Crc32(absl::Span<const uint8_t> bytes);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_CRC32_H_
