// What this machine, or the container we are in, has.
#ifndef NASHSWARM_SERVER_SCHEDULER_MACHINE_H_
#define NASHSWARM_SERVER_SCHEDULER_MACHINE_H_

#include <cstdint>

namespace nashswarm::server {

// Four fifths of the physical memory or of the control group's limit, whichever is less, in bytes.
int64_t UsableMemory();

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_MACHINE_H_
