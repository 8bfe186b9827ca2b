#include "server/store/file_staged_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

// Write-back is started this often, so that the next Sync() finds little left to wait for.
constexpr int64_t kWriteBackBytes = 8 << 20;
// What is smaller stays in the cache, where its reader finds it.
constexpr int64_t kCachedBytes = 8 << 20;
constexpr size_t kBlockBytes = 4 << 20;
constexpr size_t kAlignment = 4096;  // of memory, offsets and lengths: what any disk asks for

}  // namespace

FileStagedWriter::FileStagedWriter(int fd, std::string path, DiskRoom* room, VerifiedFiles* verified)
    : fd_(fd), path_(std::move(path)), room_(room), verified_(verified) {}

FileStagedWriter::~FileStagedWriter() {
  close(fd_);
  if (direct_ >= 0) close(direct_);
}

absl::Status FileStagedWriter::Append(absl::Span<const char> bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  // What the block holds takes its room later; until the next call it stays taken, with these bytes.
  hold_.reset();
  NS_ASSIGN_OR_RETURN(DiskRoom::Hold hold, TakeRoom(room_, "the upload", static_cast<int64_t>(bytes.size() + held_)));
  hold_.emplace(std::move(hold));
  if (!tried_direct_ && size_ >= kCachedBytes && size_ % static_cast<int64_t>(kAlignment) == 0) OpenDirect();
  while (!bytes.empty() && direct_ >= 0) {
    const size_t take = std::min(bytes.size(), kBlockBytes - held_);
    std::memcpy(block_.get() + held_, bytes.data(), take);
    held_ += take;
    bytes.remove_prefix(take);
    if (held_ == kBlockBytes) NS_RETURN_IF_ERROR(WriteBlock());
  }
  if (!bytes.empty()) NS_RETURN_IF_ERROR(WriteCached(bytes));
  if (held_ == 0) hold_.reset();
  return absl::OkStatus();
}

absl::Status FileStagedWriter::Sync() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    NS_RETURN_IF_ERROR(FlushBlock());
  }
  if (fdatasync(fd_) != 0) return ErrnoError(errno, path_);
  verified_->NoteWritten(fd_);
  return absl::OkStatus();
}

void FileStagedWriter::OpenDirect() {
  tried_direct_ = true;
  block_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, kBlockBytes)));
  if (block_ != nullptr) direct_ = open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
}

absl::Status FileStagedWriter::WriteCached(absl::Span<const char> bytes) {
  NS_RETURN_IF_ERROR(WriteFully(fd_, bytes.data(), bytes.size(), static_cast<uint64_t>(size_), path_));
  size_ += static_cast<int64_t>(bytes.size());
  if (size_ - write_back_from_ < kWriteBackBytes) return absl::OkStatus();
  sync_file_range(fd_, write_back_from_, size_ - write_back_from_, SYNC_FILE_RANGE_WRITE);
  write_back_from_ = size_;
  return absl::OkStatus();
}

// The whole block, over what a Sync has written of it: the same bytes.
absl::Status FileStagedWriter::WriteBlock() {
  if (WriteFully(direct_, block_.get(), held_, static_cast<uint64_t>(size_), path_).ok()) {
    size_ += static_cast<int64_t>(held_);
    write_back_from_ = size_;
    held_ = flushed_ = 0;
    return absl::OkStatus();
  }
  // The file system promised too much; or it is full, which the other way says again.
  close(direct_);
  direct_ = -1;
  // Held until it is in the file: of a block that was forgotten a Sync would say that it is durable.
  NS_RETURN_IF_ERROR(WriteCached({block_.get(), held_}));
  held_ = flushed_ = 0;
  return absl::OkStatus();
}

// What is held into the file as well, so that it can be made durable; it stays in the block until that is full.
absl::Status FileStagedWriter::FlushBlock() {
  if (held_ == flushed_) return absl::OkStatus();
  NS_RETURN_IF_ERROR(WriteFully(fd_, block_.get() + flushed_, held_ - flushed_, static_cast<uint64_t>(size_) + flushed_, path_));
  flushed_ = held_;
  return absl::OkStatus();
}

}  // namespace nashswarm::server
