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
#include "server/store/checked_reader.h"
#include "server/store/file_blob_reader.h"
#include "server/store/file_staged_writer.h"
#include "server/store/link_file.h"
#include "server/store/temporary_files.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kCopyBytes = 1 << 20;

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

// fsync of a file that somebody else wrote, read-only from now on.
absl::Status SealFile(int fd, const std::string& path) {
  if (fchmod(fd, 0444) != 0 || fsync(fd) != 0) return ErrnoError(errno, path);
  return absl::OkStatus();
}

absl::Status StagedMismatch(const BlobDigest& digest) {
  return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   absl::StrCat("staged bytes are not sha256:", ToHex(digest.sha256)), "send the file again");
}

int OpenToRead(const std::string& path, int flags = 0) { return open(path.c_str(), O_RDONLY | O_CLOEXEC | flags); }

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryBlobStore>> DirectoryBlobStore::OpenAt(const std::string& root,
                                                                               DiskRoom* room) {
  for (const char* directory : {"sha256", "staging", "tmp", "damaged"}) {
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
  const Descriptor fd(OpenToRead(path, O_NOFOLLOW));
  if (fd.get() < 0) return ErrnoError(errno, path);
  NS_RETURN_IF_ERROR(SealFile(fd.get(), path));
  const auto sealed = VerifiedFiles::Identify(fd.get());
  NS_ASSIGN_OR_RETURN(const std::string target, PreparePath(digest.sha256));
  NS_RETURN_IF_ERROR(DurableRename(path, target));  // over an equal blob, or one that lost its bytes
  if (sealed.has_value()) verified_.Remember(fd.get(), *sealed, digest.sha256);
  return absl::OkStatus();
}

absl::Status DirectoryBlobStore::Verify(const BlobDigest& digest, const Between& between) {
  const Descriptor fd(OpenToRead(PathOf(digest.sha256)));
  if (fd.get() < 0) return BlobError(errno, digest.sha256);
  const auto now = VerifiedFiles::Identify(fd.get());
  if (!now.has_value() || now->size == digest.size_bytes) return CheckOpen(fd.get(), digest.sha256, between);
  const absl::Status damage =
      DamagedError(digest.sha256, absl::StrCat("it has ", now->size, " of ", digest.size_bytes, " bytes"));
  NS_RETURN_IF_ERROR(SetAside(fd.get(), digest.sha256, damage));
  return damage;
}

absl::Status DirectoryBlobStore::CheckOpen(int fd, const std::string& sha256, const Between& between) {
  const absl::Status status = verified_.Verify(fd, sha256, between);
  if (absl::IsDataLoss(status)) NS_RETURN_IF_ERROR(SetAside(fd, sha256, status));
  return status;
}

absl::Status DirectoryBlobStore::SetAside(int fd, const std::string& sha256, const absl::Status& damage) {
  const std::string path = PathOf(sha256);
  const auto bad = VerifiedFiles::Identify(fd);
  const auto is_the_bad_one = [&](const std::string& file) {
    const Descriptor other(OpenToRead(file));
    const auto now = VerifiedFiles::Identify(other.get());
    return now.has_value() && bad.has_value() && now->device == bad->device && now->inode == bad->inode;
  };
  if (!is_the_bad_one(path)) return absl::OkStatus();  // others were faster
  std::string kept = absl::StrCat(root_, "/damaged/", ToHex(sha256));
  for (int number = 1; PathExists(kept); ++number) kept = absl::StrCat(root_, "/damaged/", ToHex(sha256), ".", number);
  NS_RETURN_IF_ERROR(DurableRename(path, kept));
  if (!is_the_bad_one(kept)) return DurableRename(kept, path);  // somebody has just put the right bytes there
  NS_RETURN_IF_ERROR(SyncDirectory(DirName(path)));
  TellOfDamage({sha256, std::string(damage.message()), kept});
  return absl::OkStatus();
}

absl::Status DirectoryBlobStore::LinkInto(const std::string& sha256, const std::string& path, const Between& between) {
  const std::string source = PathOf(sha256);
  const Descriptor fd(OpenToRead(source));
  if (fd.get() < 0) return BlobError(errno, sha256);
  NS_RETURN_IF_ERROR(CheckOpen(fd.get(), sha256, between));
  if (verified_.Over(fd.get(), [&] { return LinkFile(source, path); }) == 0) return absl::OkStatus();
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) return BlobError(errno, sha256);
  // Another file system, or one without hard links: a symbolic link shows the same bytes.
  const std::string absolute = std::filesystem::absolute(source).string();
  if (!PathExists(absolute)) return BlobError(ENOENT, sha256);
  if (symlink(absolute.c_str(), path.c_str()) != 0) return ErrnoError(errno, path);
  return absl::OkStatus();
}

absl::Status DirectoryBlobStore::Unlink(const std::string& path) {
  const Descriptor fd(open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  if (fd.get() < 0) return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, path);
  if (verified_.Over(fd.get(), [&] { return unlink(path.c_str()); }) != 0) return ErrnoError(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobReader>> DirectoryBlobStore::Open(const std::string& sha256) {
  return OpenChecked(PathOf(sha256), sha256, &verified_, [this, sha256](int fd, const absl::Status& damage) {
    SetAside(fd, sha256, damage).IgnoreError();  // whoever reads it again meets it again
  });
}

absl::Status DirectoryBlobStore::Remove(const std::string& sha256) {
  return Unlink(PathOf(sha256));  // a task that still has it open or linked keeps it
}

absl::StatusOr<std::unique_ptr<StagedWriter>> DirectoryBlobStore::CreateStaged(const std::string& key) {
  NS_RETURN_IF_ERROR(ValidateRelativePath(key));
  const std::string path = StagedPathOf(key);
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(path)));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoError(errno, path);
  auto writer = std::make_unique<FileStagedWriter>(fd, path, room_, &verified_);
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
    const Descriptor fd(OpenToRead(source));
    if (fd.get() < 0) return ErrnoError(errno, source);
    const auto staged = VerifiedFiles::Identify(fd.get());
    if (!staged.has_value()) return ErrnoError(errno, source);
    if (staged->size == digest.size_bytes && parts[0].size_bytes == digest.size_bytes) {
      const absl::Status linked = LinkStaged(fd.get(), source, target, digest);
      if (!absl::IsUnimplemented(linked)) return linked;
    }
  }
  NS_ASSIGN_OR_RETURN(DiskRoom::Hold hold, TakeRoom(room_, "joining the pieces of the upload", digest.size_bytes));
  const std::string joined = TemporaryName(JoinPath(root_, "tmp"));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(joined));
  Sha256 hash;
  for (const StagedPart& part : parts) {
    NS_RETURN_IF_ERROR(ReadStaged(part, [&](absl::Span<const char> bytes) {
      hash.Update(bytes.data(), bytes.size());
      NS_RETURN_IF_ERROR(file.Append(std::string_view(bytes.data(), bytes.size())));
      hold.Written(static_cast<int64_t>(bytes.size()));
      return absl::OkStatus();
    }));
  }
  if (hash.Finish() != digest.sha256) return StagedMismatch(digest);
  // PutFile syncs it. A file that PutFile could not take must not fill the disk until the next start.
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  const absl::Status put = PutFile(joined, digest);
  if (!put.ok()) unlink(joined.c_str());
  return put;
}

// UNIMPLEMENTED where the file system has no more links to give.
absl::Status DirectoryBlobStore::LinkStaged(int fd, const std::string& source, const std::string& target,
                                            const BlobDigest& digest) {
  const bool as_written = verified_.IsAsWritten(fd);
  NS_RETURN_IF_ERROR(SealFile(fd, source));
  const auto sealed = VerifiedFiles::Identify(fd);
  if (as_written && sealed.has_value()) verified_.Remember(fd, *sealed, digest.sha256);
  const absl::Status checked = verified_.Verify(fd, digest.sha256, {});
  if (absl::IsDataLoss(checked)) return StagedMismatch(digest);
  NS_RETURN_IF_ERROR(checked);
  for (;;) {
    if (verified_.Over(fd, [&] { return link(source.c_str(), target.c_str()); }) == 0) break;
    if (errno == EPERM || errno == EMLINK) return absl::UnimplementedError("no link");
    if (errno != EEXIST) return ErrnoError(errno, target);
    // Whoever linked it may have died, or failed, before this sync; and it may have lost its bytes since.
    const absl::Status there = Verify(digest, {});
    if (there.ok()) break;
    if (!absl::IsDataLoss(there) && !absl::IsNotFound(there)) return there;
  }
  return SyncDirectory(DirName(target));
}

absl::Status DirectoryBlobStore::RemoveStaged(const std::string& key) {
  NS_RETURN_IF_ERROR(ValidateRelativePath(key));
  const std::string path = StagedPathOf(key);
  if (!IsDirectory(path)) return Unlink(path);
  // Each by itself: what is remembered of a file goes with it. Somebody else may be removing the same.
  if (const auto files = ListFiles(path); files.ok()) {
    for (const std::string& file : *files) NS_RETURN_IF_ERROR(Unlink(JoinPath(path, file)));
  }
  return RemoveTree(path);
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
