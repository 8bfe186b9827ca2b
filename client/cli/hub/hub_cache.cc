#include "client/cli/hub/hub_cache.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "client/cli/digest.h"
#include "client/cli/errors.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSha256Digits = 64, kSha1Digits = 40;
constexpr size_t kMaxGitBlob = 256 << 20;  // the hub keeps larger ones, and much smaller ones, by SHA-256
constexpr std::chrono::milliseconds kLockPoll{200};

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::string DirectoryName(const std::string& repository) {
  std::string name = "models--" + repository;
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return name;
}

// As `git hash-object`: of small files alone, so it is read whole.
absl::StatusOr<std::string> GitHash(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const std::string content, ReadSmallFile(path, kMaxGitBlob));
  const std::string blob = "blob " + std::to_string(content.size()) + '\0' + content;
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(blob.data(), blob.size(), raw, &size, EVP_sha1(), nullptr);
  return std::string(reinterpret_cast<const char*>(raw), size);
}

}  // namespace

HubCache::HubCache(const HubSettings& settings, const std::string& repository)
    : root_(JoinPath(settings.cache, DirectoryName(repository))),
      locks_(JoinPath(JoinPath(settings.cache, ".locks"), DirectoryName(repository))) {}

std::string HubCache::CommitOf(const std::string& revision) const {
  constexpr size_t kMaxCommit = 100;
  const auto commit = ReadSmallFile(JoinPath(root_, "refs/" + revision), kMaxCommit);
  if (commit.ok() && IsPlainName(*commit)) return *commit;
  return IsPlainName(revision) && IsDirectory(SnapshotOf(revision)) ? revision : "";
}

absl::Status HubCache::RememberCommit(const std::string& revision, const std::string& commit) const {
  if (revision == commit) return absl::OkStatus();
  const std::string path = JoinPath(root_, "refs/" + revision), temporary = path + ".new";
  NS_RETURN_IF_ERROR(MakeDirectories(ParentOf(path)));
  const UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.get() < 0) return ErrnoError(errno, temporary);
  NS_RETURN_IF_ERROR(WriteAll(fd.get(), commit, temporary));
  return CommitFile(fd.get(), temporary, path);
}

std::string HubCache::SnapshotOf(const std::string& commit) const { return JoinPath(root_, "snapshots/" + commit); }

std::string HubCache::BlobOf(const std::string& etag) const { return JoinPath(root_, "blobs/" + etag); }

absl::Status HubCache::AddToSnapshot(const std::string& commit, const std::string& file, const std::string& etag) const {
  const std::string link = JoinPath(SnapshotOf(commit), file), up = file.find('/') == std::string::npos ? "" : "../";
  const std::string target = up + "../../blobs/" + etag;
  NS_RETURN_IF_ERROR(MakeDirectories(ParentOf(link)));
  std::error_code error;
  if (fs::is_symlink(link, error) && fs::read_symlink(link, error) == target) return absl::OkStatus();
  fs::remove(link, error);
  fs::create_symlink(target, link, error);
  return error ? ErrnoError(error.value(), link) : absl::OkStatus();
}

absl::StatusOr<UniqueFd> HubCache::Lock(const std::string& etag, Interrupt& interrupt) const {
  const std::string path = JoinPath(locks_, etag + ".lock");
  NS_RETURN_IF_ERROR(MakeDirectories(locks_));
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (fd.get() < 0) return ErrnoError(errno, path);
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoError(errno, path);
    if (!interrupt.SleepFor(kLockPoll)) return interrupt.Check();
  }
  return fd;
}

absl::Status HubCache::CheckSpace(int64_t bytes) const {
  NS_RETURN_IF_ERROR(MakeDirectories(root_));
  struct statvfs disk;
  if (statvfs(root_.c_str(), &disk) != 0) return ErrnoError(errno, root_);
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  if (static_cast<double>(bytes) <= free) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE",
                   "the model needs " + FormatBytes(static_cast<double>(bytes)) + " more in " + root_ + ", where " +
                       FormatBytes(free) + " are free",
                   "free some, or set HF_HOME to a directory with more");
}

bool IsPlainName(const std::string& text) {
  constexpr size_t kLongest = 128;
  return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || c == '-' || c == '_');
  });
}

absl::Status CheckContent(const std::string& path, const std::string& etag, Interrupt& interrupt) {
  const bool is_sha256 = etag.size() == kSha256Digits && IsHex(etag);
  const bool is_git = etag.size() == kSha1Digits && IsHex(etag);
  if (!is_sha256 && !is_git) return absl::OkStatus();
  NS_ASSIGN_OR_RETURN(const std::string raw,
                      is_git ? GitHash(path) : Sha256OfFile(path, [&](int64_t) { return interrupt.Check(); }));
  const std::string hash = ToHex(raw);
  if (hash == etag) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "HUB_CORRUPT", "what came is not " + etag + " but " + hash,
                   "run the same command again");
}

}  // namespace nashswarm::cli
