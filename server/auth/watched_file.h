// Files that may be replaced while the server runs: tokens, keys, quotas, certificates.
#ifndef NASHSWARM_SERVER_AUTH_WATCHED_FILE_H_
#define NASHSWARM_SERVER_AUTH_WATCHED_FILE_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {

// How old what is used may be. A look costs one stat().
inline constexpr std::chrono::milliseconds kFilePollInterval{1000};

using SteadyClock = std::function<std::chrono::steady_clock::time_point()>;

// Notices that a file was written, replaced or removed. Not thread-safe.
class FileChange {
 public:
  explicit FileChange(std::string path) : path_(std::move(path)) {}
  // Whether it is another file than at the last call; true at the first. Looks before the caller reads, so what is
  // written meanwhile is seen at the next call.
  bool Look();

 private:
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    int64_t modified_ns = 0, changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  std::string path_;
  Identity seen_;
  bool looked_ = false;
};

// Whether it is time for another look. Not thread-safe.
class PollTimer {
 public:
  explicit PollTimer(SteadyClock clock) : clock_(std::move(clock)) {}
  bool Due();

 private:
  SteadyClock clock_;
  std::chrono::steady_clock::time_point last_;
  bool started_ = false;
};

void LogReload(const std::string& what, const std::string& path, const absl::Status& status);
// A warning in the log when others than the owner can read the file.
void WarnIfReadableByOthers(const std::string& what, const std::string& path);

// The parsed content of a file, which follows the file. Thread-safe. A file that cannot be read or parsed any more
// leaves the old content in use, and an error in the log.
template <typename T>
class WatchedFile {
 public:
  using Parse = std::function<absl::StatusOr<T>(const std::string& text, const std::string& path)>;

  // Fails when the file is bad now. `what` names it in the log.
  static absl::StatusOr<std::unique_ptr<WatchedFile>> Open(std::string what, const std::string& path, Parse parse,
                                                           const SteadyClock& clock) {
    std::unique_ptr<WatchedFile> file(new WatchedFile(std::move(what), path, std::move(parse), clock));
    file->timer_.Due();
    file->change_.Look();
    NS_ASSIGN_OR_RETURN(file->content_, file->Load());
    return file;
  }

  std::shared_ptr<const T> Get() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (timer_.Due() && change_.Look()) {
      absl::StatusOr<std::shared_ptr<const T>> loaded = Load();
      LogReload(what_, path_, loaded.status());
      if (loaded.ok()) content_ = *std::move(loaded);
    }
    return content_;
  }

 private:
  static constexpr uint64_t kMaxBytes = 16 << 20;

  WatchedFile(std::string what, const std::string& path, Parse parse, const SteadyClock& clock)
      : what_(std::move(what)), path_(path), parse_(std::move(parse)), timer_(clock), change_(path) {}

  absl::StatusOr<std::shared_ptr<const T>> Load() {
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, kMaxBytes));
    NS_ASSIGN_OR_RETURN(T parsed, parse_(text, path_));
    return std::make_shared<const T>(std::move(parsed));
  }

  const std::string what_, path_;
  const Parse parse_;
  std::mutex mutex_;  // guards what follows
  PollTimer timer_;
  FileChange change_;
  std::shared_ptr<const T> content_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_WATCHED_FILE_H_
