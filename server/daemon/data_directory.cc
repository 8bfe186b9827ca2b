#include "server/daemon/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

namespace fs = std::filesystem;

// Models are their owner's alone. A directory that was there before and holds other things (somebody's home, /tmp) keeps its
// mode; one of another owner (a volume of Kubernetes, which lets a group in) has to.
absl::Status MakePrivateDirectory(const std::string& path) {
  NS_RETURN_IF_ERROR(MakeDirectories(path));
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, path);
  std::error_code error;
  const bool ours = fs::is_empty(path, error) || (PathExists(JoinPath(path, "lock")) && (info.st_mode & S_ISVTX) == 0);
  if (!ours || info.st_uid != geteuid() || (info.st_mode & 0077) == 0) return absl::OkStatus();
  return chmod(path.c_str(), 0700) == 0 ? absl::OkStatus() : ErrnoError(errno, path);
}

// The directory itself stays: on a full disk it might not come back.
absl::Status EmptyDirectory(const std::string& path) {
  NS_RETURN_IF_ERROR(MakeDirectories(path));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) NS_RETURN_IF_ERROR(RemoveTree(entry.path().string()));
  return error ? ErrnoError(error.value(), path) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path) {
  NS_RETURN_IF_ERROR(MakePrivateDirectory(path));
  std::error_code error;
  const std::string absolute = std::filesystem::canonical(path, error).string();
  if (error) return ErrnoError(error.value(), path);
  const std::string lock = JoinPath(absolute, "lock");
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, lock);
  std::unique_ptr<DataDirectory> directory(new DataDirectory(absolute, fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, lock);
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_IN_USE",
                     absl::StrCat(absolute, " is used by another nashswarmd"),
                     "stop the other server, or choose another --data directory");
  }
  NS_RETURN_IF_ERROR(EmptyDirectory(directory->work()));
  return directory;
}

DataDirectory::~DataDirectory() { close(lock_fd_); }

}  // namespace nashswarm::server
