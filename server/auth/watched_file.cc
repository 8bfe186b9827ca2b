#include "server/auth/watched_file.h"

#include <sys/stat.h>

#include "server/log/log.h"

namespace nashswarm::server {
namespace {

int64_t Nanoseconds(const timespec& time) { return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

bool FileChange::Look() {
  Identity now;
  struct stat info;
  if (stat(path_.c_str(), &info) == 0) {
    // The change time too: the modification time can be set to anything.
    now = {info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim), Nanoseconds(info.st_ctim)};
  }
  const bool changed = !looked_ || !(now == seen_);
  looked_ = true;
  seen_ = now;
  return changed;
}

bool PollTimer::Due() {
  const auto now = clock_();
  if (started_ && now - last_ < kFilePollInterval) return false;
  started_ = true;
  last_ = now;
  return true;
}

void LogReload(const std::string& what, const std::string& path, const absl::Status& status) {
  if (status.ok()) {
    Log(LogLevel::kInfo, "file reloaded", {{"what", what}, {"path", path}});
  } else {
    Log(LogLevel::kError, "a changed file is not usable: what it held before stays in force",
        {{"what", what}, {"path", path}, {"reason", ReasonOf(status)}, {"error", std::string(status.message())}});
  }
}

void WarnIfReadableByOthers(const std::string& what, const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || (info.st_mode & (S_IRGRP | S_IROTH)) == 0) return;
  Log(LogLevel::kWarning, "others than its owner can read a file that is better kept private",
      {{"what", what}, {"path", path}, {"hint", "chmod 600"}});
}

}  // namespace nashswarm::server
