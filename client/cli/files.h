// Small file helpers. Paths are plain strings; every error names its path.
#ifndef NASHSWARM_CLIENT_CLI_FILES_H_
#define NASHSWARM_CLIENT_CLI_FILES_H_

#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::cli {

// Owns a file descriptor.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  ~UniqueFd() { Reset(-1); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }

 private:
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int fd_;
};

bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
absl::StatusOr<int64_t> FileSize(const std::string& path);
// The whole of a small file; `limit` bytes at most.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t limit);
absl::Status WriteAll(int fd, std::string_view data, const std::string& path);
// fsync of the file, rename, fsync of the directory: after it, `to` is whole even if the machine stops.
absl::Status CommitFile(int fd, const std::string& from, const std::string& to);
absl::Status MakeDirectories(const std::string& path);
// "." for a path without a directory; "a/b" for "a/b/c/".
std::string ParentOf(const std::string& path);
std::string JoinPath(const std::string& directory, const std::string& name);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_FILES_H_
