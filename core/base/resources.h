// What the machine refuses: memory and threads.
#ifndef NASHSWARM_CORE_BASE_RESOURCES_H_
#define NASHSWARM_CORE_BASE_RESOURCES_H_

#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace nashswarm {

// RESOURCE_EXHAUSTED / OUT_OF_MEMORY, naming this process's limit when it has one (RLIMIT_DATA). For where std::bad_alloc is
// caught: what failed has given its memory back by then.
absl::Status OutOfMemoryError();

// Starts `body` as the last of `threads`; false when the system has no memory for another thread or allows no more.
bool StartThread(const std::function<void()>& body, std::vector<std::thread>* threads);

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_RESOURCES_H_
