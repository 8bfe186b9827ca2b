#include "server/scheduler/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace nashswarm::server {

int64_t UsableMemory() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  // Version 2 and version 1 of control groups; "max" does not read as a number.
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t limit = 0;
    if (std::ifstream(path) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes / 5 * 4;
}

}  // namespace nashswarm::server
