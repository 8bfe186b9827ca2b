#include "core/expert_cache/cold_mapping.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace nashswarm::expert_cache {
namespace {

// A page may be held for a moment by another processor's list of fresh pages or by a read that is under way.
constexpr int kDropAttempts = 5;

absl::Status NotDropped(std::string_view path, std::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "PAGES_NOT_DROPPED",
                   absl::StrCat(ToAbsl(path), ": ", ToAbsl(why)),
                   "measure on a file of your own, on a disk, that no other process maps");
}

// Files of these file systems have no other place than the page cache.
bool LivesInMemory(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return false;
  const auto type = static_cast<uint64_t>(info.f_type);
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == HUGETLBFS_MAGIC;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ColdMapping>> ColdMapping::Open(const std::string& path, Readahead readahead) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  // From here on the object closes it.
  std::unique_ptr<ColdMapping> mapping(
      new ColdMapping(path, fd, nullptr, 0, static_cast<uint64_t>(sysconf(_SC_PAGESIZE))));
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoError(errno, path);
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "FILE_EMPTY", absl::StrCat(path, ": has no bytes to map"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return ErrnoError(errno, path);
  mapping->data_ = static_cast<uint8_t*>(data);
  mapping->size_ = size;
  if (readahead == Readahead::kNone && madvise(data, size, MADV_RANDOM) != 0) return ErrnoError(errno, path);
  return mapping;
}

ColdMapping::~ColdMapping() {
  if (data_ != nullptr) munmap(data_, size_);
  close(fd_);
}

absl::Status ColdMapping::Drop() {
  if (LivesInMemory(fd_)) return NotDropped(path_, "its file system keeps files in memory (tmpfs)");
  uint64_t resident = 0;
  for (int attempt = 0; attempt < kDropAttempts; ++attempt) {
    // Pages that are dirty, or in a page table, are not dropped: first those two, then the pages.
    if (fdatasync(fd_) != 0) return ErrnoError(errno, path_);
    if (madvise(data_, size_, MADV_DONTNEED) != 0) return ErrnoError(errno, path_);
    if (const int error = posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); error != 0) return ErrnoError(error, path_);
    NS_ASSIGN_OR_RETURN(resident, ResidentPages());
    if (resident == 0) return absl::OkStatus();
  }
  return NotDropped(path_, absl::StrCat(resident, " of ", pages(), " pages stay in the page cache"));
}

absl::Status ColdMapping::Touch(uint64_t offset, uint64_t length) {
  NS_RETURN_IF_ERROR(CheckRange(offset, length));
  for (uint64_t byte = offset; byte < offset + length; byte = (byte / page_bytes_ + 1) * page_bytes_) {
    // volatile: the read is for its effect on the page cache.
    static_cast<void>(*static_cast<const volatile uint8_t*>(data_ + byte));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ColdMapping::ResidentPages(uint64_t offset, uint64_t length) const {
  NS_RETURN_IF_ERROR(CheckRange(offset, length));
  if (length == 0) return uint64_t{0};
  const uint64_t first = offset / page_bytes_, last = (offset + length - 1) / page_bytes_;
  std::vector<unsigned char> flags(last - first + 1);
  if (mincore(data_ + first * page_bytes_, flags.size() * page_bytes_, flags.data()) != 0) {
    return ErrnoError(errno, path_);
  }
  // The lowest bit alone has a meaning.
  return static_cast<uint64_t>(std::count_if(flags.begin(), flags.end(), [](unsigned char f) { return (f & 1) != 0; }));
}

absl::Status ColdMapping::CheckRange(uint64_t offset, uint64_t length) const {
  if (offset <= size_ && length <= size_ - offset) return absl::OkStatus();
  return MakeError(absl::StatusCode::kOutOfRange, "RANGE_INVALID",
                   absl::StrCat(path_, ": bytes ", offset, " + ", length, " of ", size_));
}

absl::StatusOr<uint64_t> ResidentPages(const std::string& path, uint64_t offset, uint64_t length) {
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<ColdMapping> mapping, ColdMapping::Open(path, Readahead::kNormal));
  return mapping->ResidentPages(offset, length);
}

}  // namespace nashswarm::expert_cache
