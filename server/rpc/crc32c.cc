#include "server/rpc/crc32c.h"

#include <algorithm>

#include <isa-l/crc.h>

namespace nashswarm::server {

uint32_t Crc32c(std::string_view bytes) {
  constexpr size_t kPieceBytes = 1 << 30;  // ISA-L takes an int
  uint32_t crc = 0xffffffff;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kPieceBytes);
    // It reads through a pointer to non-const.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    crc = crc32_iscsi(data, static_cast<int>(size), crc);
    bytes.remove_prefix(size);
  }
  return ~crc;
}

}  // namespace nashswarm::server
