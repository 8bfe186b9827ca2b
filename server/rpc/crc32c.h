// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of the chunks on the wire.
#ifndef NASHSWARM_SERVER_RPC_CRC32C_H_
#define NASHSWARM_SERVER_RPC_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace nashswarm::server {

uint32_t Crc32c(std::string_view bytes);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_RPC_CRC32C_H_
