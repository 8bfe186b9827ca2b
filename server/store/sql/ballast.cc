#include "server/store/sql/ballast.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "server/store/disk_room.h"

namespace nashswarm::server::sql {
namespace {

// A delete needs a few pages; opening a database, its shared memory and the beginning of its journal.
constexpr int64_t kPiece = 1 << 20;
constexpr int64_t kSmallDiskShare = 10;

}  // namespace

Ballast::Ballast(std::string path, int64_t bytes)
    : path_(std::move(path)), bytes_(std::min(bytes, DiskSize(DirName(path_)) / kSmallDiskShare)) {
  if (bytes_ <= 0) return;
  fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  released_ = true;  // it may be new, or a process before this one has released some
  if (FreeDisk(DirName(path_)) < kPiece) Release();
  Restore();
}

Ballast::~Ballast() {
  if (fd_ >= 0) close(fd_);
}

int64_t Ballast::Size() const {
  struct stat info;
  return fd_ >= 0 && fstat(fd_, &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

bool Ballast::Release() {
  const int64_t size = Size();
  if (size == 0) return false;
  released_ = true;
  return ftruncate(fd_, std::max<int64_t>(0, size - kPiece)) == 0;
}

void Ballast::Restore() {
  if (!released_ || fd_ < 0) return;
  const int64_t size = Size(), missing = bytes_ - size;
  if (missing > 0 && FreeDisk(DirName(path_)) < 2 * missing) return;
  if (missing > 0 && posix_fallocate(fd_, 0, bytes_) != 0) {
    // Half of it taken is no reason to keep it: others fill the disk at this moment.
    if (ftruncate(fd_, size) != 0) return;
    return;
  }
  released_ = false;
}

}  // namespace nashswarm::server::sql
