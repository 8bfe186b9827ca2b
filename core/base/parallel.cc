#include "core/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/resources.h"

namespace nashswarm {

int ResolveThreads(int requested) {
  if (requested > 0) return std::min(requested, 1024);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

absl::Status ParallelFor(int threads, uint64_t count, const std::function<absl::Status(uint64_t)>& body) {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  uint64_t first_failure = UINT64_MAX;
  absl::Status result;

  std::exception_ptr thrown;
  const auto run = [&] {
    while (!failed.load(std::memory_order_relaxed)) {
      const uint64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      absl::Status status = body(i);
      if (status.ok()) continue;
      failed = true;
      std::lock_guard<std::mutex> lock(mutex);
      if (i < first_failure) {
        first_failure = i;
        result = std::move(status);
      }
    }
  };

  const auto work = [&] {
    try {
      run();
    } catch (...) {  // out of a thread it would end the process
      failed = true;
      std::lock_guard<std::mutex> lock(mutex);
      if (!thrown) thrown = std::current_exception();
    }
  };

  const uint64_t helpers = std::min<uint64_t>(std::max(threads, 1), count) - (count > 0 ? 1 : 0);
  std::vector<std::thread> pool;
  pool.reserve(helpers);
  for (uint64_t t = 0; t < helpers && StartThread(work, &pool); ++t) {
  }
  work();
  for (std::thread& thread : pool) thread.join();
  if (thrown) std::rethrow_exception(thrown);
  return result;
}

}  // namespace nashswarm
