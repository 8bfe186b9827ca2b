#include "client/cli/streamed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

constexpr size_t kBlockBytes = 4 << 20;   // at 4 MiB the disks tried write as fast as at any size
constexpr size_t kAlignment = 4096;       // of memory, offsets and lengths: what any disk asks for
constexpr int64_t kDirectBytes = 32 << 20;  // smaller files may as well be cached
// Writing to the disk is begun this often, so that the fsync at the end finds little left to wait for.
constexpr int64_t kWriteBackBytes = 8 << 20;

bool WriteAt(int fd, std::string_view bytes, int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return true;
}

}  // namespace

StreamedFile::StreamedFile(int fd, std::string path, int64_t offset, int64_t size)
    : fd_(fd), path_(std::move(path)), offset_(offset) {
  if (offset % static_cast<int64_t>(kAlignment) != 0 || size < kDirectBytes) return;
  block_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, kBlockBytes)));
  if (block_ != nullptr) direct_ = UniqueFd(open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
}

absl::Status StreamedFile::Append(std::string_view bytes) {
  while (!bytes.empty() && direct_.get() >= 0) {
    const size_t take = std::min(bytes.size(), kBlockBytes - held_);
    std::memcpy(block_.get() + held_, bytes.data(), take);
    held_ += take;
    bytes.remove_prefix(take);
    if (held_ == kBlockBytes) NS_RETURN_IF_ERROR(WriteBlock());
  }
  return bytes.empty() ? absl::OkStatus() : WriteCached(bytes);
}

absl::Status StreamedFile::Finish() {
  if (held_ == 0) return absl::OkStatus();
  const size_t held = std::exchange(held_, 0);
  return WriteCached({block_.get(), held});
}

absl::Status StreamedFile::WriteBlock() {
  const size_t held = std::exchange(held_, 0);
  if (WriteAt(direct_.get(), {block_.get(), held}, offset_)) {
    offset_ += static_cast<int64_t>(held);
    return absl::OkStatus();
  }
  direct_ = UniqueFd();  // the file system promised too much; or it is full, which the other way says again
  return WriteCached({block_.get(), held});
}

absl::Status StreamedFile::WriteCached(std::string_view bytes) {
  if (!WriteAt(fd_, bytes, offset_)) return ErrnoError(errno, path_);
  offset_ += static_cast<int64_t>(bytes.size());
  unwritten_ += static_cast<int64_t>(bytes.size());
  if (unwritten_ < kWriteBackBytes) return absl::OkStatus();
  sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
  unwritten_ = 0;
  return absl::OkStatus();
}

}  // namespace nashswarm::cli
