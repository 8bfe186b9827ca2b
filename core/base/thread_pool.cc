#include "core/base/thread_pool.h"

#include <algorithm>
#include <utility>

#include "core/base/resources.h"

namespace nashswarm {

ThreadPool::ThreadPool(int threads) {
  helpers_.reserve(static_cast<size_t>(std::max(threads, 1)));
  // A thread that cannot be started is done without: threads() says how many there are.
  for (int thread = 1; thread < threads && StartThread([this, thread] { Help(thread); }, &helpers_); ++thread) {
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Help(int thread) {
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || step_ != seen; });
    if (stop_) return;
    seen = step_;
    lock.unlock();
    Work(thread);
    lock.lock();
    if (--helping_ == 0) done_.notify_one();
  }
}

void ThreadPool::Work(int thread) {
  try {
    TakeItems(thread);
  } catch (...) {  // out of a thread it would end the process
    failed_ = true;
    std::lock_guard<std::mutex> lock(mutex_);
    if (!thrown_) thrown_ = std::current_exception();
  }
}

void ThreadPool::TakeItems(int thread) {
  while (!failed_.load(std::memory_order_relaxed)) {
    const uint64_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= count_) return;
    absl::Status status = (*body_)(i, thread);
    if (status.ok()) continue;
    failed_ = true;
    std::lock_guard<std::mutex> lock(mutex_);
    if (result_.ok() || i < first_failure_) {
      first_failure_ = i;
      result_ = std::move(status);
    }
  }
}

absl::Status ThreadPool::Run(uint64_t count, const Body& body) {
  body_ = &body;
  count_ = count;
  next_ = 0;
  failed_ = false;
  result_ = absl::OkStatus();
  const bool share = count > 1 && !helpers_.empty();
  if (share) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      helping_ = static_cast<int>(helpers_.size());
      ++step_;
    }
    wake_.notify_all();
  }
  Work(0);
  if (share) {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return helping_ == 0; });
  }
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  return std::exchange(result_, absl::OkStatus());
}

}  // namespace nashswarm
