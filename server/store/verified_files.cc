#include "server/store/verified_files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr int64_t kBetweenBytes = 64 << 20;
// How late whoever waits for another's reading may be stopped.
constexpr std::chrono::milliseconds kBetweenWaits{100};

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

absl::StatusOr<std::string> Hash(int fd, const Between& between) {
  Sha256 hash;
  std::vector<char> buffer(kReadBytes);
  int64_t unasked = kBetweenBytes;
  for (int64_t offset = 0;;) {
    if (between && unasked >= kBetweenBytes) {
      NS_RETURN_IF_ERROR(between());
      unasked = 0;
    }
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "blob");
    if (got == 0) return hash.Finish();
    hash.Update(buffer.data(), static_cast<uint64_t>(got));
    offset += got;
    unasked += got;
  }
}

}  // namespace

absl::Status DamagedError(const std::string& sha256, const std::string& found) {
  return MakeError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED",
                   absl::StrCat("what is stored as sha256:", ToHex(sha256), " is damaged: ", found),
                   "the disk lost data: push the model, or submit the job, again");
}

bool VerifiedFiles::Identity::SameContent(const Identity& other) const {
  Identity same = other;
  same.ctime_ns = ctime_ns;
  return *this == same;
}

std::optional<VerifiedFiles::Identity> VerifiedFiles::Identify(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return std::nullopt;
  return Identity{info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim), Nanoseconds(info.st_ctim)};
}

absl::Status VerifiedFiles::Verify(int fd, const std::string& sha256, const Between& between) {
  const std::optional<Identity> before = Identify(fd);
  if (!before.has_value()) return ErrnoError(errno, "blob");
  const Inode inode{before->device, before->inode};
  {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!read_.wait_for(lock, kBetweenWaits, [&] { return !reading_.contains(inode); })) {
      if (!between) continue;
      lock.unlock();
      NS_RETURN_IF_ERROR(between());
      lock.lock();
    }
    // While another thread read it, a link may have changed its ctime.
    if (const auto now = Identify(fd); now.has_value() && KnowsLocked(*now, sha256)) return absl::OkStatus();
    reading_.insert(inode);
  }
  const absl::StatusOr<std::string> actual = Hash(fd, between);
  if (actual.ok() && *actual == sha256) Remember(fd, *before, sha256);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reading_.erase(inode);
  }
  read_.notify_all();
  NS_RETURN_IF_ERROR(actual.status());
  return *actual == sha256 ? absl::OkStatus() : DamagedError(sha256, absl::StrCat("its content is sha256:", ToHex(*actual)));
}

bool VerifiedFiles::KnowsLocked(const Identity& identity, const std::string& sha256) const {
  const auto found = known_.find({identity.device, identity.inode});
  return found != known_.end() && found->second.identity == identity && found->second.sha256 == sha256;
}

bool VerifiedFiles::Knows(int fd, const std::string& sha256) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<Identity> now = Identify(fd);
  return now.has_value() && KnowsLocked(*now, sha256);
}

void VerifiedFiles::Remember(int fd, const Identity& before, const std::string& sha256) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<Identity> now = Identify(fd);
  if (!now.has_value() || !now->SameContent(before)) return;
  known_[{now->device, now->inode}] = {*now, sha256};
}

void VerifiedFiles::NoteWritten(int fd) {
  if (const auto now = Identify(fd); now.has_value()) Remember(fd, *now, "");
}

bool VerifiedFiles::IsAsWritten(int fd) { return Knows(fd, ""); }

size_t VerifiedFiles::size() {
  std::lock_guard<std::mutex> lock(mutex_);
  return known_.size();
}

int VerifiedFiles::Over(int fd, const std::function<int()>& change) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<Identity> before = Identify(fd);
  const int result = change();
  const int error = errno;
  struct stat info;
  const bool gone = fstat(fd, &info) == 0 && info.st_nlink == 0;
  const std::optional<Identity> after = Identify(fd);
  if (before.has_value() && after.has_value()) {
    const auto found = known_.find({before->device, before->inode});
    const bool kept = found != known_.end() && found->second.identity == *before && after->SameContent(*before);
    if (kept && !gone) found->second.identity = *after;
    if (found != known_.end() && (gone || !kept)) known_.erase(found);
  }
  errno = error;
  return result;
}

}  // namespace nashswarm::server
