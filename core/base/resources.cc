#include "core/base/resources.h"

#include <sys/resource.h>

#include <new>
#include <system_error>

#include "core/base/status.h"

namespace nashswarm {

absl::Status OutOfMemoryError() {
  rlimit limit;
  const bool limited = getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                   limited ? absl::StrCat("out of memory: the limit of this process is ", limit.rlim_cur, " bytes")
                           : "out of memory",
                   limited ? "allow a task more memory, or fewer threads" : "free memory, or use fewer threads");
}

bool StartThread(const std::function<void()>& body, std::vector<std::thread>* threads) {
  try {
    threads->emplace_back(body);
    return true;
  } catch (const std::system_error&) {  // no memory for its stack, or too many threads
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace nashswarm
