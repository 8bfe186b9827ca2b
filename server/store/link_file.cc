#include "server/store/link_file.h"

#include <unistd.h>

#include <cerrno>

namespace nashswarm::server {
namespace {

// Each needs another rename in a window of microseconds.
constexpr int kAttempts = 100;

}  // namespace

int LinkFile(const std::string& from, const std::string& to) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (link(from.c_str(), to.c_str()) == 0) return 0;
    if (errno != ENOENT || access(from.c_str(), F_OK) != 0) return -1;
  }
  errno = ENOENT;
  return -1;
}

}  // namespace nashswarm::server
