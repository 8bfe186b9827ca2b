// Files: whole reads, read-only mappings, and the one way this project writes durably
// (temporary file, fsync, rename, fsync of the directory).
#ifndef NASHSWARM_CORE_BASE_FILE_H_
#define NASHSWARM_CORE_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm {

// Reads a whole file; refuses one larger than `max_bytes` (FILE_TOO_LARGE).
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes = 1ull << 30);
absl::StatusOr<uint64_t> FileSize(const std::string& path);
bool PathExists(const std::string& path);
bool IsDirectory(const std::string& path);

// Regular files below `dir`, as sorted relative '/'-separated paths. Hidden entries (".git", ".cache") are left out;
// symbolic links to files count as files, links to directories are not followed.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& dir);
// Those of `dir` itself alone: what lies deeper is not looked at, so it may be unreadable.
absl::StatusOr<std::vector<std::string>> ListOwnFiles(const std::string& dir);

absl::Status MakeDirectories(const std::string& path);
absl::Status RemoveTree(const std::string& path);  // ok when absent
absl::Status SyncDirectory(const std::string& path);
// rename + fsync of the target's directory.
absl::Status DurableRename(const std::string& from, const std::string& to);
std::string JoinPath(std::string_view a, std::string_view b);
std::string DirName(std::string_view path);
std::string BaseName(std::string_view path);

// `text` with what lies below `directory` named relative to it, and the directory itself as `instead`: for messages to people who
// have not seen the directory and never will.
std::string WithoutDirectory(std::string_view text, std::string_view directory, std::string_view instead);

// ok when `path` is relative, '/'-separated, printable, without empty, "." or ".." parts and at most 1024 bytes.
absl::Status ValidateRelativePath(std::string_view path);

// A read-only mapping of a whole file. The mapping lives as long as the object.
class MappedFile {
 public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  // Files as one mapping, one after another, each from a page's beginning, with zeros between them; `parts` gets the bytes of
  // each. path() is that of the first.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> OpenTogether(absl::Span<const std::string> paths,
                                                                        std::vector<absl::Span<const uint8_t>>* parts);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const uint8_t* data, uint64_t size) : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const uint8_t* data_;
  uint64_t size_;
};

// Writes `path` so that it is there whole and durable, or not at all. Bytes go to a temporary file in the same
// directory; Commit() makes them durable and visible; destruction without Commit() removes them.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  absl::Status Append(absl::Span<const uint8_t> bytes);
  absl::Status Append(std::string_view text);
  absl::Status WriteAt(uint64_t offset, absl::Span<const uint8_t> bytes);  // does not move the append position
  absl::Status Truncate(uint64_t size);  // sets the length; new bytes are zero
  uint64_t position() const { return position_; }                         // bytes appended so far
  absl::Status Commit();
  // Visible, whole, but not yet durable: for files whose next owner makes them so, as the outputs of a task.
  absl::Status CommitUnsynced();

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  void Discard();

  std::string path_, temporary_;
  int fd_ = -1;
  uint64_t position_ = 0;
};

absl::Status WriteFileDurably(const std::string& path, std::string_view content);
absl::Status WriteFileUnsynced(const std::string& path, std::string_view content);  // whole or not at all

// A fresh directory that is removed with the object. `parent` empty: the system's temporary directory.
class TemporaryDirectory {
 public:
  static absl::StatusOr<TemporaryDirectory> Create(const std::string& parent = {});
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// pwrite/read until done, EINTR handled.
absl::Status WriteFully(int fd, const void* data, uint64_t size, uint64_t offset, std::string_view path);

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_FILE_H_
