#include "server/store/s3/blob_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/store/file_blob_reader.h"
#include "server/store/link_file.h"
#include "server/store/temporary_files.h"

namespace nashswarm::server {
namespace {

namespace fs = std::filesystem;

// Like link(2), but over file systems too. A symbolic link would break when the cache lets the file go.
absl::Status LinkOrCopy(VerifiedFiles& verified, int fd, const std::string& from, const std::string& to) {
  if (verified.Over(fd, [&] { return LinkFile(from, to); }) == 0) return absl::OkStatus();
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) return ErrnoError(errno, errno == ENOENT ? from : to);
  std::error_code error;
  fs::copy_file(from, to, error);
  return error ? ErrnoError(error.value(), to) : absl::OkStatus();
}

// Read-only from now on, under its name.
absl::Status MoveIn(const std::string& from, const std::string& to) {
  if (chmod(from.c_str(), 0444) != 0) return ErrnoError(errno, from);
  if (rename(from.c_str(), to.c_str()) != 0) return ErrnoError(errno, to);
  return absl::OkStatus();
}

// `path` holds what has just been hashed.
void Remember(VerifiedFiles& verified, const std::string& path, const std::string& sha256) {
  const int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (const auto now = VerifiedFiles::Identify(fd); now.has_value()) verified.Remember(fd, *now, sha256);
  if (fd >= 0) close(fd);
}

// Nothing here is made durable, so a file may have its name and not its bytes after the machine went down: what was
// written before that is not trusted. (A process that dies leaves whole files.)
absl::Status ClearAfterReboot(const std::string& root) {
  const auto boot = ReadFile("/proc/sys/kernel/random/boot_id", 100);
  const std::string mark = JoinPath(root, "boot-id");
  if (const auto written = ReadFile(mark, 100); boot.ok() && written.ok() && *written == *boot) {
    return absl::OkStatus();
  }
  NS_RETURN_IF_ERROR(RemoveTree(JoinPath(root, "sha256")));
  NS_RETURN_IF_ERROR(MakeDirectories(root));
  return boot.ok() ? WriteFileUnsynced(mark, *boot) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::OpenAt(const std::string& root, int64_t max_bytes,
                                                             Download download,
                                                             std::function<void(const BlobDamage&)> on_damage) {
  std::unique_ptr<BlobCache> cache(new BlobCache(root, max_bytes, std::move(download), std::move(on_damage)));
  NS_RETURN_IF_ERROR(ClearAfterReboot(root));
  for (const char* directory : {"sha256", "tmp"}) NS_RETURN_IF_ERROR(MakeDirectories(JoinPath(root, directory)));
  NS_RETURN_IF_ERROR(cache->Scan());
  return cache;
}

std::string BlobCache::PathOf(const std::string& sha256) const {
  const std::string hex = ToHex(sha256);
  return absl::StrCat(root_, "/sha256/", hex.substr(0, 2), "/", hex);
}

absl::Status BlobCache::Scan() {
  struct Found {
    fs::file_time_type time;
    std::string sha256;
    int64_t size;
  };
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFiles(JoinPath(root_, "sha256")));
  std::vector<Found> found;
  for (const std::string& name : names) {
    const std::string hex = BaseName(name);
    std::string raw = hex.size() == 64 ? absl::HexStringToBytes(hex) : "";
    if (ToHex(raw) != hex) continue;  // not ours
    std::error_code error;
    const fs::path path = PathOf(raw);
    const auto size = fs::file_size(path, error);
    const auto time = fs::last_write_time(path, error);
    if (!error) found.push_back({time, std::move(raw), static_cast<int64_t>(size)});
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.time < b.time; });
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Found& file : found) SetPresent(file.sha256, &entries_[file.sha256], file.size);
  Evict();
  return absl::OkStatus();
}

absl::Status BlobCache::LinkInto(const std::string& sha256, const std::string& path, const Between& between) {
  std::unique_lock<std::mutex> lock(mutex_);
  Entry* entry = &entries_[sha256];
  ++entry->users;
  absl::Status status;
  // Twice more, in case another process removes the file in between, or it has lost its bytes; it cannot go on like this.
  for (int attempt = 0; attempt < 3; ++attempt) {
    status = MakePresent(lock, sha256, entry);
    if (!status.ok()) break;
    lock.unlock();
    status = LinkVerified(sha256, path, between);
    lock.lock();
    if (absl::IsDataLoss(status)) {
      Drop(sha256);
    } else if (status.ok() || PathExists(PathOf(sha256))) {
      break;
    }
    SetAbsent(entry);
  }
  Release(sha256, entry);
  return status;
}

absl::Status BlobCache::LinkVerified(const std::string& sha256, const std::string& path, const Between& between) {
  const std::string source = PathOf(sha256);
  const int fd = open(source.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return BlobError(errno, sha256);
  absl::Status status = verified_.Verify(fd, sha256, between);
  if (absl::IsDataLoss(status)) NoteDamage(sha256, status);
  if (status.ok()) status = LinkOrCopy(verified_, fd, source, path);
  close(fd);
  return status;
}

void BlobCache::NoteDamage(const std::string& sha256, const absl::Status& damage) {
  if (on_damage_) on_damage_({sha256, std::string(damage.message()), ""});
}

absl::Status BlobCache::Unlink(const std::string& path) {
  const int fd = open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, path);
  const int result = verified_.Over(fd, [&] { return unlink(path.c_str()); });
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : ErrnoError(error, path);
}

absl::Status BlobCache::MakePresent(std::unique_lock<std::mutex>& lock, const std::string& sha256, Entry* entry) {
  while (!entry->present) {
    if (entry->downloading) {
      const uint64_t round = entry->round;
      downloaded_.wait(lock, [&] { return entry->round != round; });
      NS_RETURN_IF_ERROR(entry->result);  // whoever waited for it shares its failure
      continue;
    }
    entry->downloading = true;
    lock.unlock();
    const auto size = Fetch(sha256);
    lock.lock();
    entry->downloading = false;
    entry->result = size.status();
    ++entry->round;
    if (size.ok()) SetPresent(sha256, entry, *size);
    downloaded_.notify_all();
    NS_RETURN_IF_ERROR(size.status());
  }
  Touch(entry);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> BlobCache::Fetch(const std::string& sha256) {
  const std::string target = PathOf(sha256);
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(target)));
  const std::string temporary = TemporaryName(JoinPath(root_, "tmp"));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(temporary));
  Sha256 hash;
  int64_t size = 0;
  NS_RETURN_IF_ERROR(download_(sha256, [&](absl::Span<const char> bytes) {
    hash.Update(bytes.data(), bytes.size());
    size += static_cast<int64_t>(bytes.size());
    return file.Append(std::string_view(bytes.data(), bytes.size()));
  }));
  if (hash.Finish() != sha256) {
    return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat("what was downloaded is not sha256:", ToHex(sha256)),
                     "the store lost data: delete the model or artifact and create it again");
  }
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  NS_RETURN_IF_ERROR(MoveIn(temporary, target));
  Remember(verified_, target, sha256);
  return size;
}

absl::StatusOr<std::unique_ptr<BlobReader>> BlobCache::Open(const std::string& sha256) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find(sha256);
    if (found == entries_.end() || !found->second.present) return BlobError(ENOENT, sha256);
    Touch(&found->second);
  }
  const int fd = open(PathOf(sha256).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return BlobError(errno, sha256);
  if (verified_.Knows(fd, sha256)) return ReaderOf(fd, sha256);
  close(fd);
  return BlobError(ENOENT, sha256);
}

absl::Status BlobCache::Adopt(const std::string& sha256, const std::string& path) {
  const std::string target = PathOf(sha256);
  NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(target)));
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = &entries_[sha256];
  ++entry->users;
  if (!entry->present && !entry->downloading && MoveIn(path, target).ok()) {
    Remember(verified_, target, sha256);
    SetPresent(sha256, entry, static_cast<int64_t>(size));
  } else {  // here already, or on another file system, where it would have to be copied for nobody yet
    RemoveTree(path).IgnoreError();
  }
  Release(sha256, entry);
  return absl::OkStatus();
}

void BlobCache::Remove(const std::string& sha256) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(sha256);
  if (found == entries_.end() || !found->second.present) return;
  Drop(sha256);
  SetAbsent(&found->second);
  if (found->second.users == 0) entries_.erase(found);
}

absl::Status BlobCache::RemoveLeftovers(std::chrono::seconds older_than) {
  return RemoveOldFiles(JoinPath(root_, "tmp"), older_than);
}

// A file that cannot be taken away is found at the next start.
void BlobCache::Drop(const std::string& sha256) { Unlink(PathOf(sha256)).IgnoreError(); }

int64_t BlobCache::size_bytes() {
  std::lock_guard<std::mutex> lock(mutex_);
  return size_bytes_;
}

void BlobCache::SetPresent(const std::string& sha256, Entry* entry, int64_t size_bytes) {
  entry->present = true;
  entry->size_bytes = size_bytes;
  entry->use = use_order_.insert(use_order_.end(), sha256);
  size_bytes_ += size_bytes;
}

void BlobCache::SetAbsent(Entry* entry) {
  if (!entry->present) return;
  entry->present = false;
  use_order_.erase(entry->use);
  size_bytes_ -= entry->size_bytes;
}

void BlobCache::Touch(Entry* entry) { use_order_.splice(use_order_.end(), use_order_, entry->use); }

void BlobCache::Release(const std::string& sha256, Entry* entry) {
  if (--entry->users == 0 && !entry->present) entries_.erase(sha256);
  Evict();
}

void BlobCache::Evict() {
  for (auto next = use_order_.begin(); size_bytes_ > max_bytes_ && next != use_order_.end();) {
    const std::string sha256 = *next++;
    const auto found = entries_.find(sha256);
    if (found->second.users > 0) continue;
    Drop(sha256);
    SetAbsent(&found->second);
    entries_.erase(found);
  }
}

}  // namespace nashswarm::server
