#include "server/daemon/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path) {
  NS_RETURN_IF_ERROR(MakeDirectories(path));
  std::error_code error;
  const std::string absolute = std::filesystem::canonical(path, error).string();
  if (error) return ErrnoError(error.value(), path);
  const std::string lock = JoinPath(absolute, "lock");
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoError(errno, lock);
  std::unique_ptr<DataDirectory> directory(new DataDirectory(absolute, fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, lock);
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_IN_USE",
                     absl::StrCat(absolute, " is used by another nashswarmd"),
                     "stop the other server, or choose another --data directory");
  }
  NS_RETURN_IF_ERROR(RemoveTree(directory->work()));
  NS_RETURN_IF_ERROR(MakeDirectories(directory->work()));
  return directory;
}

DataDirectory::~DataDirectory() { close(lock_fd_); }

}  // namespace nashswarm::server
