#include "server/store/directory_blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/store/file_blob_reader.h"
#include "server/store/link_file.h"
#include "server/store/temporary_files.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kCopyBytes = 1 << 20;
// Write-back is started this often, so that the next Sync() finds little left to wait for.
constexpr int64_t kWriteBackBytes = 8 << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::StatusOr<DiskRoom::Hold> TakeRoom(DiskRoom* room, std::string_view what, int64_t bytes) {
  return room == nullptr ? DiskRoom::Hold() : room->Take(what, bytes);
}

class FileStagedWriter : public StagedWriter {
 public:
  FileStagedWriter(int fd, std::string path, DiskRoom* room) : fd_(fd), path_(std::move(path)), room_(room) {}

  absl::Status Append(absl::Span<const char> bytes) override {
    NS_ASSIGN_OR_RETURN(const DiskRoom::Hold hold, TakeRoom(room_, "the upload", static_cast<int64_t>(bytes.size())));
    NS_RETURN_IF_ERROR(WriteFully(fd_.get(), bytes.data(), bytes.size(), static_cast<uint64_t>(size_), path_));
    size_ += static_cast<int64_t>(bytes.size());
    if (size_ - write_back_from_ >= kWriteBackBytes) {
      sync_file_range(fd_.get(), write_back_from_, size_ - write_back_from_, SYNC_FILE_RANGE_WRITE);
      write_back_from_ = size_;
    }
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return ErrnoError(errno, path_);
    return absl::OkStatus();
  }

 private:
  Descriptor fd_;
  std::string path_;
  DiskRoom* room_;
  int64_t size_ = 0;
  int64_t write_back_from_ = 0;
};

// fsync of a file that somebody else wrote, read-only from now on.
absl::Status SealFile(const std::string& path) {
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (fd.get() < 0) return ErrnoError(errno, path);
  if (fchmod(fd.get(), 0444) != 0 || fsync(fd.get()) != 0) return ErrnoError(errno, path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryBlobStore>> DirectoryBlobStore::OpenAt(const std::string& root,
                                                                               DiskRoom* room) {
  for (const char* directory : {"sha256", "staging", "tmp"}) {
    NS_RETURN_IF_ERROR(MakeDirectories(JoinPath(root, directory)));
  }
  NS_RETURN_IF_ERROR(SyncDirectory(DirName(root)));
  NS_RETURN_IF_ERROR(SyncDirectory(root));
  std::unique_ptr<DirectoryBlobStore> store(new DirectoryBlobStore(root, room));
  for (int byte = 0; byte < 256; ++byte) {
    const std::string directory = DirName(store->PathOf(std::string(1, static_cast<char>(byte))));
    if (!IsDirectory(directory)) continue;
    NS_RETURN_IF_ERROR(SyncDirectory(directory));
    store->durable_[static_cast<size_t>(byte)] = true;
  }
  NS_RETURN_IF_ERROR(SyncDirectory(JoinPath(root, "sha256")));
  return store;
}

std::string DirectoryBlobStore::PathOf(const std::string& sha256) const {
  const std::string hex = ToHex(sha256);
  return absl::StrCat(root_, "/sha256/", hex.substr(0, 2), "/", hex);
}

std::string DirectoryBlobStore::StagedPathOf(const std::string& key) const {
  return absl::StrCat(root_, "/staging/", key);
}

absl::StatusOr<std::string> DirectoryBlobStore::PreparePath(const std::string& sha256) {
  std::string path = PathOf(sha256);
  std::atomic<bool>& durable = durable_[static_cast<unsigned char>(sha256[0])];
  if (durable) return path;
  const std::string directory = DirName(path);
  // One that is there may be so since a moment ago, by a thread that has not synced it yet or could not.
  if (mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST) return ErrnoError(errno, directory);
  NS_RETURN_IF_ERROR(SyncDirectory(DirName(directory)));
  durable = true;
  return path;
}

absl::StatusOr<bool> DirectoryBlobStore::Has(const std::string& sha256) { return PathExists(PathOf(sha256)); }

absl::Status DirectoryBlobStore::PutFile(const std::string& path, const BlobDigest& digest) {
  NS_RETURN_IF_ERROR(SealFile(path));
  NS_ASSIGN_OR_RETURN(const std::string target, PreparePath(digest.sha256));
  return DurableRename(path, target);  // over an equal blob: the same bytes, so nobody can tell
}

absl::Status DirectoryBlobStore::LinkInto(const std::string& sha256, const std::string& path) {
  const std::string source = PathOf(sha256);
  if (LinkFile(source, path) == 0) return absl::OkStatus();
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) return BlobError(errno, sha256);
  // Another file system, or one without hard links: a symbolic link shows the same bytes.
  const std::string absolute = std::filesystem::absolute(source).string();
  if (!PathExists(absolute)) return BlobError(ENOENT, sha256);
  if (symlink(absolute.c_str(), path.c_str()) != 0) return ErrnoError(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobReader>> DirectoryBlobStore::Open(const std::string& sha256) {
  return OpenBlobFile(PathOf(sha256), sha256);
}

absl::Status DirectoryBlobStore::Remove(const std::string& sha256) {
  if (unlink(PathOf(sha256).c_str()) != 0 && errno != ENOENT) return BlobError(errno, sha256);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StagedWriter>> DirectoryBlobStore::CreateStaged(const std::string& key) {
  NS_RETURN_IF_ERROR(ValidateRelativePath(key));
  const std::string path = StagedPathOf(key);
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(path)));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoError(errno, path);
  auto writer = std::make_unique<FileStagedWriter>(fd, path, room_);
  // The names must survive a crash too: the database will soon say that this part exists.
  NS_RETURN_IF_ERROR(SyncDirectory(DirName(path)));
  NS_RETURN_IF_ERROR(SyncDirectory(JoinPath(root_, "staging")));
  return writer;
}

absl::Status DirectoryBlobStore::ReadStaged(const StagedPart& part,
                                            const std::function<absl::Status(absl::Span<const char>)>& sink) {
  const std::string path = StagedPathOf(part.key);
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, path);
  std::vector<char> buffer(static_cast<size_t>(std::min(part.size_bytes, kCopyBytes)));
  for (int64_t offset = 0; offset < part.size_bytes;) {
    const int64_t size = std::min(part.size_bytes - offset, kCopyBytes);
    NS_RETURN_IF_ERROR(ReadExactly(fd.get(), offset, size, buffer.data(), path));
    NS_RETURN_IF_ERROR(sink(absl::MakeConstSpan(buffer.data(), static_cast<size_t>(size))));
    offset += size;
  }
  return absl::OkStatus();
}

absl::Status DirectoryBlobStore::CommitStaged(absl::Span<const StagedPart> parts, const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const std::string target, PreparePath(digest.sha256));
  if (parts.size() == 1) {
    const std::string source = StagedPathOf(parts[0].key);
    NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(source));
    if (static_cast<int64_t>(size) == digest.size_bytes && parts[0].size_bytes == digest.size_bytes) {
      NS_RETURN_IF_ERROR(SealFile(source));
      if (link(source.c_str(), target.c_str()) == 0) return SyncDirectory(DirName(target));
      // The same bytes; whoever linked them may have died, or failed, before this sync.
      if (errno == EEXIST) return SyncDirectory(DirName(target));
      if (errno != EPERM && errno != EMLINK) return ErrnoError(errno, target);
    }
  }
  NS_ASSIGN_OR_RETURN(const DiskRoom::Hold hold, TakeRoom(room_, "joining the pieces of the upload", digest.size_bytes));
  const std::string joined = TemporaryName(JoinPath(root_, "tmp"));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(joined));
  Sha256 hash;
  for (const StagedPart& part : parts) {
    NS_RETURN_IF_ERROR(ReadStaged(part, [&](absl::Span<const char> bytes) {
      hash.Update(bytes.data(), bytes.size());
      return file.Append(std::string_view(bytes.data(), bytes.size()));
    }));
  }
  if (hash.Finish() != digest.sha256) {
    return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat("staged bytes are not sha256:", ToHex(digest.sha256)), "send the file again");
  }
  // PutFile syncs it. A file that PutFile could not take must not fill the disk until the next start.
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  const absl::Status put = PutFile(joined, digest);
  if (!put.ok()) unlink(joined.c_str());
  return put;
}

absl::Status DirectoryBlobStore::RemoveStaged(const std::string& key) {
  NS_RETURN_IF_ERROR(ValidateRelativePath(key));
  return RemoveTree(StagedPathOf(key));
}

absl::StatusOr<std::vector<std::string>> DirectoryBlobStore::ListStagedGroups() {
  std::vector<std::string> groups;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(JoinPath(root_, "staging"), error)) {
    groups.push_back(entry.path().filename().string());
  }
  if (error) return ErrnoError(error.value(), JoinPath(root_, "staging"));
  return groups;
}

absl::Status DirectoryBlobStore::RemoveLeftovers(std::chrono::seconds older_than) {
  return RemoveOldFiles(JoinPath(root_, "tmp"), older_than);
}

}  // namespace nashswarm::server
