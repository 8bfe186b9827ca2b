#include "server/store/ids.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace nashswarm::server {

std::string NewId(int64_t now_us) {
  static constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  unsigned char random[16];  // one byte per character: 5 of its bits are used
  while (getrandom(random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    if (errno != EINTR) std::abort();  // a kernel without getrandom is not one we run on
  }
  std::string id(26, '0');
  uint64_t millis = static_cast<uint64_t>(now_us / 1000);
  for (int i = 9; i >= 0; --i, millis >>= 5) id[i] = kAlphabet[millis & 31];
  for (int i = 0; i < 16; ++i) id[10 + i] = kAlphabet[random[i] & 31];
  return id;
}

}  // namespace nashswarm::server
