#include "server/services/read_ahead.h"

#include <algorithm>
#include <utility>

#include "server/rpc/crc32c.h"

namespace nashswarm::server {
namespace {

// Enough to bridge a pause of either side, little enough for many streams.
constexpr size_t kQueueLength = 4;

}  // namespace

ReadAhead::ReadAhead(BlobReader* reader, int64_t begin, int64_t end, int64_t chunk_bytes)
    : reader_(reader), end_(end), chunk_bytes_(chunk_bytes), next_(begin) {
  thread_ = std::thread([this] { Loop(); });
}

ReadAhead::~ReadAhead() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status ReadAhead::Next(Chunk* chunk) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || !status_.ok(); });
  if (ready_.empty()) return status_;
  if (!chunk->data.empty()) used_.push_back(std::move(*chunk));
  *chunk = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

void ReadAhead::Loop() {
  while (next_ < end_) {
    Chunk chunk;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return ready_.size() < kQueueLength || stop_; });
      if (stop_) return;
      if (!used_.empty()) {
        chunk = std::move(used_.front());
        used_.pop_front();
      }
    }
    const int64_t size = std::min(end_ - next_, chunk_bytes_);
    chunk.data.resize(static_cast<size_t>(size));
    const absl::Status status = reader_->ReadAt(next_, size, chunk.data.data());
    if (status.ok()) chunk.crc32c = Crc32c(chunk.data);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (status.ok()) {
        ready_.push_back(std::move(chunk));
      } else {
        status_ = status;
      }
    }
    changed_.notify_all();
    if (!status.ok()) return;
    next_ += size;
  }
}

}  // namespace nashswarm::server
