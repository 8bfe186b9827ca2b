#include "core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"
#include "core/base/utf8.h"

namespace nashswarm {
namespace {

namespace fs = std::filesystem;

// Open for reading, closed with the object.
struct OpenedFile {
  int fd = -1;
  uint64_t size = 0;
  OpenedFile(int opened, uint64_t bytes) : fd(opened), size(bytes) {}
  OpenedFile(OpenedFile&& other) noexcept : fd(std::exchange(other.fd, -1)), size(other.size) {}
  OpenedFile& operator=(OpenedFile&&) = delete;
  ~OpenedFile() {
    if (fd >= 0) close(fd);
  }
};

absl::StatusOr<OpenedFile> OpenRegular(const std::string& path) {
  OpenedFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC), 0);
  if (file.fd < 0) return ErrnoError(errno, path);
  struct stat info;
  if (fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_FILE", absl::StrCat(path, ": not a regular file"));
  }
  file.size = static_cast<uint64_t>(info.st_size);
  return file;
}

// What lies in a directory itself, by name; hidden entries left out.
struct Entries {
  std::vector<std::string> files, directories;
};

absl::StatusOr<Entries> EntriesOf(const std::string& dir) {
  Entries out;
  std::error_code error, ignored;
  for (fs::directory_iterator it(dir, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.starts_with(".")) continue;
    if (it->is_directory(ignored) && !it->is_symlink(ignored)) out.directories.push_back(std::move(name));
    else if (it->is_regular_file(ignored)) out.files.push_back(std::move(name));
  }
  if (error) return ErrnoError(error.value(), dir);
  return out;
}

absl::Status CollectFiles(const std::string& root, const std::string& prefix, std::vector<std::string>* out) {
  NS_ASSIGN_OR_RETURN(const Entries entries, EntriesOf(prefix.empty() ? root : JoinPath(root, prefix)));
  for (const std::string& name : entries.files) out->push_back(JoinPath(prefix, name));
  for (const std::string& name : entries.directories) NS_RETURN_IF_ERROR(CollectFiles(root, JoinPath(prefix, name), out));
  return absl::OkStatus();
}

}  // namespace

std::string JoinPath(std::string_view a, std::string_view b) {
  if (a.empty()) return std::string(b);
  return absl::StrCat(ToAbsl(a), a.back() == '/' ? "" : "/", ToAbsl(b));
}

std::string DirName(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

absl::StatusOr<uint64_t> FileSize(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, path);
  return static_cast<uint64_t>(info.st_size);
}

bool PathExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool IsDirectory(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  std::string content;
  absl::Status status;
  char buffer[1 << 16];
  while (status.ok()) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      status = ErrnoError(errno, path);
    } else if (content.size() + n > max_bytes) {
      status = MakeError(absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
                         absl::StrCat(path, ": larger than the ", max_bytes, " bytes allowed for this kind of file"));
    } else {
      content.append(buffer, n);
    }
  }
  close(fd);
  if (!status.ok()) return status;
  return content;
}

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& dir) {
  if (!IsDirectory(dir)) return ErrnoError(PathExists(dir) ? ENOTDIR : ENOENT, dir);
  std::vector<std::string> files;
  NS_RETURN_IF_ERROR(CollectFiles(dir, "", &files));
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::vector<std::string>> ListOwnFiles(const std::string& dir) {
  if (!IsDirectory(dir)) return ErrnoError(PathExists(dir) ? ENOTDIR : ENOENT, dir);
  NS_ASSIGN_OR_RETURN(Entries entries, EntriesOf(dir));
  std::sort(entries.files.begin(), entries.files.end());
  return std::move(entries.files);
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? ErrnoError(error.value(), path) : absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoError(error.value(), path) : absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : ErrnoError(error, path);
}

absl::Status DurableRename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return ErrnoError(errno, absl::StrCat(from, " -> ", to));
  return SyncDirectory(DirName(to));
}

std::string WithoutDirectory(std::string_view text, std::string_view directory, std::string_view instead) {
  while (directory.size() > 1 && directory.back() == '/') directory.remove_suffix(1);
  if (directory.empty() || directory == "/") return std::string(text);
  const auto in_name = [](char c) { return absl::ascii_isalnum(c) || c == '/' || c == '_' || c == '-' || c == '.'; };
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool here = text.substr(at).starts_with(directory) && (at == 0 || !in_name(text[at - 1]));
    const size_t end = at + directory.size();
    if (here && end < text.size() && text[end] == '/') {
      at = end + 1;
    } else if (here && (end == text.size() || !in_name(text[end]))) {
      out.append(instead);
      at = end;
    } else {
      out.push_back(text[at++]);
    }
  }
  return out;
}

absl::Status ValidateRelativePath(std::string_view path) {
  const auto refuse = [&](std::string_view why) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PATH",
                     absl::StrCat("path '", VisibleUtf8(path.substr(0, 200)), "' ", ToAbsl(why)),
                     "use a relative path with '/' between its parts, such as 'model.safetensors'");
  };
  if (path.empty()) return refuse("is empty");
  if (path.size() > 1024) return refuse("is longer than 1024 bytes");
  if (path.front() == '/') return refuse("is absolute");
  if (path.find('\\') != path.npos) return refuse("has a '\\'");
  // Two names that look the same, or one that reads as another, would be taken for what they are not.
  if (const auto code = FindInvisible(path)) {
    return refuse(absl::StrFormat("has a control character or one that is not seen, U+%04X", *code));
  }
  for (const absl::string_view part : absl::StrSplit(ToAbsl(path), '/')) {
    if (part.empty() || part == "." || part == "..") return refuse("has an empty, '.' or '..' part");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegular(path));
  const uint8_t* data = nullptr;
  if (file.size > 0) {  // mmap refuses length 0
    void* mapping = mmap(nullptr, file.size, PROT_READ, MAP_SHARED, file.fd, 0);
    if (mapping == MAP_FAILED) return ErrnoError(errno, path);
    data = static_cast<const uint8_t*>(mapping);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, file.size));
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::OpenTogether(absl::Span<const std::string> paths,
                                                                           std::vector<absl::Span<const uint8_t>>* parts) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<OpenedFile> files;
  std::vector<uint64_t> begins;
  uint64_t size = 0;
  for (const std::string& path : paths) {
    NS_ASSIGN_OR_RETURN(OpenedFile file, OpenRegular(path));
    begins.push_back((size + page - 1) / page * page);
    size = begins.back() + file.size;  // sizes of real files: no overflow
    files.push_back(std::move(file));
  }
  const std::string name = paths.empty() ? std::string() : paths[0];
  parts->assign(files.size(), {});
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(name, nullptr, 0));
  void* room = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return ErrnoError(errno, name);
  const std::shared_ptr<const MappedFile> together(new MappedFile(name, static_cast<const uint8_t*>(room), size));
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].size == 0) continue;
    uint8_t* begin = static_cast<uint8_t*>(room) + begins[i];
    if (mmap(begin, files[i].size, PROT_READ, MAP_SHARED | MAP_FIXED, files[i].fd, 0) == MAP_FAILED) return ErrnoError(errno, paths[i]);
    (*parts)[i] = {begin, files[i].size};
  }
  return together;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

absl::Status WriteFully(int fd, const void* data, uint64_t size, uint64_t offset, std::string_view path) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd, bytes, std::min<uint64_t>(size, 1 << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, path);
    bytes += n;
    size -= static_cast<uint64_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  const std::string temporary = absl::StrCat(path, ".tmp-", getpid(), "-", counter++);
  const int fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoError(errno, temporary);
  return AtomicFile(path, temporary, fd);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(other.fd_), position_(other.position_) {
  other.fd_ = -1;
}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    Discard();
    path_ = std::move(other.path_);
    temporary_ = std::move(other.temporary_);
    fd_ = other.fd_;
    position_ = other.position_;
    other.fd_ = -1;
  }
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
  fd_ = -1;
}

absl::Status AtomicFile::Append(absl::Span<const uint8_t> bytes) {
  NS_RETURN_IF_ERROR(WriteAt(position_, bytes));
  position_ += bytes.size();
  return absl::OkStatus();
}

absl::Status AtomicFile::Append(std::string_view text) {
  return Append(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

absl::Status AtomicFile::WriteAt(uint64_t offset, absl::Span<const uint8_t> bytes) {
  return WriteFully(fd_, bytes.data(), bytes.size(), offset, temporary_);
}

absl::Status AtomicFile::Truncate(uint64_t size) {
  return ftruncate(fd_, static_cast<off_t>(size)) == 0 ? absl::OkStatus() : ErrnoError(errno, temporary_);
}

absl::Status AtomicFile::Commit() {
  if (fsync(fd_) != 0) return ErrnoError(errno, temporary_);
  if (const absl::Status renamed = DurableRename(temporary_, path_); !renamed.ok()) return renamed;
  close(fd_);
  fd_ = -1;
  return absl::OkStatus();
}

absl::Status AtomicFile::CommitUnsynced() {
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return ErrnoError(errno, path_);
  close(fd_);
  fd_ = -1;
  return absl::OkStatus();
}

absl::Status WriteFileUnsynced(const std::string& path, std::string_view content) {
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  NS_RETURN_IF_ERROR(file.Append(content));
  return file.CommitUnsynced();
}

absl::Status WriteFileDurably(const std::string& path, std::string_view content) {
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  NS_RETURN_IF_ERROR(file.Append(content));
  return file.Commit();
}

absl::StatusOr<TemporaryDirectory> TemporaryDirectory::Create(const std::string& parent) {
  std::error_code error;
  const std::string base = parent.empty() ? fs::temp_directory_path(error).string() : parent;
  std::string pattern = JoinPath(base, "nashswarm-XXXXXX");
  if (mkdtemp(pattern.data()) == nullptr) return ErrnoError(errno, pattern);
  return TemporaryDirectory(pattern);
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!path_.empty()) RemoveTree(path_).IgnoreError();
}

}  // namespace nashswarm
