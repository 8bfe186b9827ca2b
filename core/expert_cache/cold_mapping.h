// What touching parts of a file costs in pages, measured: a mapping whose pages are dropped from the page cache,
// touched where the caller says, and counted, what the kernel read ahead included. Linux.
//
// mincore tells of the page cache, whoever filled it; only to those who own the file or may write to it, to others it
// says that all is resident (its manual, since Linux 5.2), which Drop then reports. File systems that go around the
// page cache (DAX, some network file systems) cannot be measured so.
//
// Errors: those of ErrnoError; OUT_OF_RANGE / RANGE_INVALID for bytes outside the file; INVALID_ARGUMENT / FILE_EMPTY
// for a file without bytes, which cannot be mapped; more where stated.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_COLD_MAPPING_H_
#define NASHSWARM_CORE_EXPERT_CACHE_COLD_MAPPING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::expert_cache {

enum class Readahead {
  kNormal,  // the kernel reads around a fault
  kNone,    // MADV_RANDOM: only what is touched
};

// A whole file, read-only, as long as the object lives. Nobody may shorten the file meanwhile: touching what is gone
// raises SIGBUS, as does a device that cannot read.
class ColdMapping {
 public:
  static absl::StatusOr<std::unique_ptr<ColdMapping>> Open(const std::string& path, Readahead readahead);
  ~ColdMapping();
  ColdMapping(const ColdMapping&) = delete;
  ColdMapping& operator=(const ColdMapping&) = delete;

  // Drops all pages of the file, written ones after they are synced. FAILED_PRECONDITION / PAGES_NOT_DROPPED when some
  // stay: the file is in memory (tmpfs), another process maps it or holds it locked, or mincore does not tell. Nothing
  // measured on that file means anything then: report it as not measurable.
  absl::Status Drop();

  // Reads a byte of every page that [offset, offset + length) touches, in rising order; nothing for length 0.
  absl::Status Touch(uint64_t offset, uint64_t length);

  // Pages of the whole file, or of those that [offset, offset + length) touches, that are in the page cache.
  absl::StatusOr<uint64_t> ResidentPages() const { return ResidentPages(0, size_); }
  absl::StatusOr<uint64_t> ResidentPages(uint64_t offset, uint64_t length) const;

  uint64_t size() const { return size_; }  // bytes
  uint64_t pages() const { return (size_ + page_bytes_ - 1) / page_bytes_; }
  uint64_t page_bytes() const { return page_bytes_; }  // of the machine

 private:
  ColdMapping(std::string path, int fd, uint8_t* data, uint64_t size, uint64_t page_bytes)
      : path_(std::move(path)), fd_(fd), data_(data), size_(size), page_bytes_(page_bytes) {}
  absl::Status CheckRange(uint64_t offset, uint64_t length) const;

  std::string path_;
  int fd_;
  uint8_t* data_;
  uint64_t size_, page_bytes_;
};

// Once, without touching anything: pages of [offset, offset + length) of the file that are in the page cache.
absl::StatusOr<uint64_t> ResidentPages(const std::string& path, uint64_t offset, uint64_t length);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_COLD_MAPPING_H_
