#include "server/store/file_blob_reader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

class FileReader : public BlobReader {
 public:
  FileReader(int fd, int64_t size, std::string what) : fd_(fd), size_(size), what_(std::move(what)) {}
  ~FileReader() override { close(fd_); }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  int64_t size() const override { return size_; }
  absl::Status ReadAt(int64_t offset, int64_t size, char* out) override {
    return ReadExactly(fd_, offset, size, out, what_);
  }

 private:
  int fd_;
  int64_t size_;
  std::string what_;
};

}  // namespace

absl::Status BlobError(int error, const std::string& sha256) {
  if (error == ENOENT) {
    return MakeError(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND", absl::StrCat("no blob sha256:", ToHex(sha256)));
  }
  return ErrnoError(error, absl::StrCat("blob sha256:", ToHex(sha256)));
}

absl::Status ReadExactly(int fd, int64_t offset, int64_t size, char* out, const std::string& what) {
  while (size > 0) {
    const ssize_t n = pread(fd, out, static_cast<size_t>(size), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, what);
    if (n == 0) {
      return MakeError(absl::StatusCode::kDataLoss, "BLOB_TRUNCATED", absl::StrCat(what, ": ends at byte ", offset),
                       "the disk lost data: delete the model or artifact and create it again");
    }
    out += n;
    offset += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobReader>> ReaderOf(int fd, const std::string& sha256) {
  struct stat info;
  if (fstat(fd, &info) != 0) {
    const int error = errno;
    close(fd);
    return BlobError(error, sha256);
  }
  return std::make_unique<FileReader>(fd, info.st_size, absl::StrCat("blob sha256:", ToHex(sha256)));
}

}  // namespace nashswarm::server
