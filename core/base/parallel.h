// ParallelFor: the one way core code uses threads. Results never depend on the thread count.
#ifndef NASHSWARM_CORE_BASE_PARALLEL_H_
#define NASHSWARM_CORE_BASE_PARALLEL_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace nashswarm {

// Threads to use when the user asked for `requested` (0: every core this process may run on).
int ResolveThreads(int requested);

// Calls body(i) once for every i in [0, count) on up to `threads` threads (the caller's among them; fewer if no more start).
// On an error no further i is started and the error of the smallest failing i is returned; std::bad_alloc reaches the caller.
absl::Status ParallelFor(int threads, uint64_t count, const std::function<absl::Status(uint64_t)>& body);

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_PARALLEL_H_
