#include "client/cli/byte_worker.h"

#include <utility>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

// Chunks of 1 MiB or so: enough to bridge a pause of either side.
constexpr size_t kQueueLength = 8;

}  // namespace

ByteWorker::ByteWorker(std::function<absl::Status(std::string&)> work) : work_(std::move(work)) {
  thread_ = std::thread([this] { Loop(); });
}

ByteWorker::~ByteWorker() { (void)Finish(); }

absl::Status ByteWorker::Push(std::string bytes) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kQueueLength || !status_.ok(); });
  NS_RETURN_IF_ERROR(status_);
  queue_.push_back(std::move(bytes));
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status ByteWorker::Finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

void ByteWorker::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finished_ || !queue_.empty(); });
    if (queue_.empty() || !status_.ok()) return;
    std::string bytes = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    changed_.notify_all();
    const absl::Status status = work_(bytes);
    lock.lock();
    if (status.ok()) continue;
    status_ = status;
    changed_.notify_all();
    return;
  }
}

}  // namespace nashswarm::cli
