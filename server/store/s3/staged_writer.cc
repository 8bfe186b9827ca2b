#include "server/store/s3/staged_writer.h"

#include <algorithm>

#include "core/base/status.h"
#include "server/store/s3/staged_pieces.h"

namespace nashswarm::server {

S3StagedWriter::S3StagedWriter(S3Client* client, std::string prefix) : client_(client), prefix_(std::move(prefix)) {
  thread_ = std::thread([this] { Loop(); });
}

S3StagedWriter::~S3StagedWriter() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status S3StagedWriter::Append(absl::Span<const char> bytes) {
  std::lock_guard<std::mutex> filling(filling_mutex_);
  while (!bytes.empty()) {
    const auto piece = static_cast<size_t>(PieceBytes(filling_offset_));
    if (filling_.capacity() < piece) filling_.reserve(piece);
    const size_t take = std::min(bytes.size(), piece - filling_.size());
    filling_.append(bytes.data(), take);
    bytes.remove_prefix(take);
    if (filling_.size() == piece) NS_RETURN_IF_ERROR(Hand());
  }
  return absl::OkStatus();
}

absl::Status S3StagedWriter::Hand() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !busy_; });
  NS_RETURN_IF_ERROR(status_);
  std::swap(filling_, sending_);  // both keep their memory
  filling_.clear();
  sending_offset_ = filling_offset_;
  filling_offset_ += static_cast<int64_t>(sending_.size());
  busy_ = true;
  ++handed_;
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status S3StagedWriter::Sync() {
  {
    std::lock_guard<std::mutex> filling(filling_mutex_);
    if (!filling_.empty()) NS_RETURN_IF_ERROR(Hand());
  }
  std::unique_lock<std::mutex> lock(mutex_);
  const int64_t before = handed_;  // what is appended from now on need not be waited for
  changed_.wait(lock, [&] { return sent_ >= before; });
  return status_;
}

void S3StagedWriter::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return busy_ || stop_; });
    if (!busy_) return;
    lock.unlock();
    const absl::Status sent = client_->PutObject(prefix_ + PieceName(sending_offset_),
                                                 S3Payload::Of(absl::MakeConstSpan(sending_.data(), sending_.size())));
    lock.lock();
    if (status_.ok()) status_ = sent;
    busy_ = false;
    ++sent_;
    changed_.notify_all();
  }
}

}  // namespace nashswarm::server
