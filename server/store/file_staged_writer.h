// The staged part of a directory store: appended to while it is received, durable in pieces.
#ifndef NASHSWARM_SERVER_STORE_FILE_STAGED_WRITER_H_
#define NASHSWARM_SERVER_STORE_FILE_STAGED_WRITER_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "server/store/blob_store.h"
#include "server/store/disk_room.h"
#include "server/store/verified_files.h"

namespace nashswarm::server {

// A part that grows beyond a few MiB is written past the page cache where the file system can: filling that takes longer than the
// disk does. `room` may be null; `room` and `verified` outlive the writer.
class FileStagedWriter : public StagedWriter {
 public:
  // Takes `fd`, an empty file at `path` that is open for writing.
  FileStagedWriter(int fd, std::string path, DiskRoom* room, VerifiedFiles* verified);
  ~FileStagedWriter() override;
  FileStagedWriter(const FileStagedWriter&) = delete;
  FileStagedWriter& operator=(const FileStagedWriter&) = delete;

  absl::Status Append(absl::Span<const char> bytes) override;
  absl::Status Sync() override;

 private:
  absl::Status WriteCached(absl::Span<const char> bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OpenDirect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WriteBlock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FlushBlock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int fd_;
  const std::string path_;
  DiskRoom* const room_;
  VerifiedFiles* const verified_;
  std::mutex mutex_;  // one thread appends, another may sync
  int64_t size_ ABSL_GUARDED_BY(mutex_) = 0;             // of the file, without the block
  int64_t write_back_from_ ABSL_GUARDED_BY(mutex_) = 0;
  bool tried_direct_ ABSL_GUARDED_BY(mutex_) = false;
  int direct_ ABSL_GUARDED_BY(mutex_) = -1;              // the same file past the cache
  std::unique_ptr<char, decltype(&std::free)> block_ ABSL_GUARDED_BY(mutex_){nullptr, &std::free};  // what follows `size_`
  std::optional<DiskRoom::Hold> hold_ ABSL_GUARDED_BY(mutex_);  // of the disk, for what the block holds
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0, flushed_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of it; that are in the file already
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_FILE_STAGED_WRITER_H_
