// Threads that wait for work, for many short steps in a row: where ParallelFor would spend its time on starting threads.
#ifndef NASHSWARM_CORE_BASE_THREAD_POOL_H_
#define NASHSWARM_CORE_BASE_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace nashswarm {

// One thread at a time may call Run, and not from inside a body.
class ThreadPool {
 public:
  // What one step does: item `i`, on thread `thread` of [0, threads()), whose scratch memory it may use.
  using Body = std::function<absl::Status(uint64_t i, int thread)>;

  explicit ThreadPool(int threads);  // at least 1; the caller's is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls body for every i in [0, count) and returns when all are done. On an error no further i is started and the error
  // of the smallest failing i that ran is returned. An exception in a body, which is std::bad_alloc, is thrown again here.
  absl::Status Run(uint64_t count, const Body& body);

 private:
  void Help(int thread);
  void Work(int thread);
  void TakeItems(int thread);

  std::vector<std::thread> helpers_;

  // The step being run. Written by Run while no helper is at work.
  const Body* body_ = nullptr;
  uint64_t count_ = 0;
  std::atomic<uint64_t> next_{0};
  std::atomic<bool> failed_{false};

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  uint64_t step_ = 0;      // number of the step; helpers wait for it to change
  int helping_ = 0;        // helpers that have not finished this step
  bool stop_ = false;
  uint64_t first_failure_ = 0;
  absl::Status result_;
  std::exception_ptr thrown_;
};

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_THREAD_POOL_H_
