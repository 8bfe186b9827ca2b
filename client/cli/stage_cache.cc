#include "client/cli/stage_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kElsewhere[] = "; the finished stages of this run will not be kept";
// The model itself, and moments and encoded shards beside it. A server that has less waits instead of working.
constexpr int64_t kModelsOfRoom = 3;
constexpr int64_t kRoomBeside = int64_t{2} << 30;

std::string Variable(const StageCacheRequest& request, const char* name) {
  const char* value = request.getenv(name);
  return value == nullptr ? "" : value;
}

// "" when the environment names no place. A path that is not absolute is to be ignored (XDG Base Directory Specification).
std::string CacheRoot(const StageCacheRequest& request) {
  std::string base = Variable(request, "XDG_CACHE_HOME");
  if (base.empty() || base.front() != '/') {
    const std::string home = Variable(request, "HOME");
    base = home.empty() ? "" : JoinPath(home, ".cache");
  }
  return base.empty() ? "" : JoinPath(base, "nashswarm");
}

// 0, or the errno of why it is not ours: EWOULDBLOCK where somebody has it.
int Lock(const UniqueFd& fd) { return fd.get() >= 0 && flock(fd.get(), LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }

// As Lock. A server may outlive its client by a moment, and it still writes.
int LockOfServer(const std::string& data) {
  const std::string path = JoinPath(data, "lock");
  if (!FileExists(path)) return 0;
  return Lock(UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC)));
}

std::string Identity(const std::string& program) {
  struct stat info = {};
  if (stat(program.c_str(), &info) != 0) return program;
  return program + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec);
}

int64_t Free(const std::string& path) {
  struct statvfs info = {};
  if (statvfs(path.c_str(), &info) != 0) return 0;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

std::string AsideOf(const std::string& data) { return data + ".aside"; }

bool WriteStamp(const std::string& path, const std::string& text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return fd.get() >= 0 && WriteAll(fd.get(), text, path).ok();
}

// The stamp is taken away first and written last: after a crash in between, everything is thrown away again.
bool MakeOurs(const std::string& root, const std::string& stamp, const std::string& data) {
  const std::string path = JoinPath(root, "made-by");
  if (chmod(root.c_str(), 0700) != 0) return false;
  RemoveTree(AsideOf(data));  // of a run that was killed
  if (const auto found = ReadSmallFile(path, 1 << 16); found.ok() && *found == stamp) return MakeDirectories(data).ok();
  std::error_code ignored;
  fs::remove(path, ignored);
  RemoveTree(data);
  return MakeDirectories(data).ok() && WriteStamp(path, stamp);
}

StageCache None(const std::string& why) { return {.data = "", .why_not = why.empty() ? "" : why + kElsewhere, .lock = UniqueFd()}; }

}  // namespace

StageCache TakeStageCache(const StageCacheRequest& request) {
  const std::string root = CacheRoot(request);
  if (root.empty()) return None("");
  if (const absl::Status made = MakeDirectories(root); !made.ok()) {
    return None("there is no cache: " + std::string(made.message()));
  }
  const std::string data = JoinPath(root, "stages");
  StageCache cache = {.data = data, .why_not = "", .lock = UniqueFd()};
  cache.lock = UniqueFd(open(JoinPath(root, "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (cache.lock.get() < 0) return None("there is no cache: " + std::string(ErrnoError(errno, root).message()));
  int locked = Lock(cache.lock);
  if (locked == 0) locked = LockOfServer(data);
  if (locked == EWOULDBLOCK) return None("another compress has the cache " + root);
  if (locked != 0) return None("the cache " + root + " cannot be locked: " + std::strerror(locked));
  const std::string stamp =
      std::string("nashswarm " NASHSWARM_VERSION "\n") + Identity(request.server) + "\n" + Identity(request.engine) + "\n";
  if (!MakeOurs(root, stamp, data)) return None("the cache " + root + " cannot be written");
  const int64_t free = Free(data), needed = kModelsOfRoom * request.model_bytes + kRoomBeside;
  if (free < needed && Free(request.instead) > free) return None("the disk of " + root + " has too little room for this model");
  return cache;
}

bool SetStagesAside(const StageCache& cache) {
  std::error_code error;
  fs::rename(cache.data, AsideOf(cache.data), error);
  return !error;
}

void RestoreStages(const StageCache& cache) {
  RemoveTree(cache.data);
  std::error_code ignored;
  fs::rename(AsideOf(cache.data), cache.data, ignored);
}

void DropStagesAside(const StageCache& cache) { RemoveTree(AsideOf(cache.data)); }

}  // namespace nashswarm::cli
