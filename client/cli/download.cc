#include "client/cli/download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "client/cli/byte_worker.h"
#include "client/cli/digest.h"
#include "client/cli/files.h"
#include "client/cli/safe_path.h"
#include "client/cli/streamed_file.h"

namespace nashswarm::cli {
namespace {

constexpr char kGguf[] = ".gguf";
// What an artifact holds besides its weights; known here only to refuse early what would be refused late.
constexpr std::array<const char*, 3> kBesideTheWeights = {"manifest.json", "report.html", "report.json"};
constexpr std::chrono::seconds kSilence(60);
constexpr int kMaxDamaged = 3;

bool EndsWith(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

// Of the name of a single file.
std::string Stem(const std::string& out) { return out.substr(0, out.size() - (sizeof(kGguf) - 1)); }

absl::Status Exists(const std::string& path) {
  return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", path + " exists",
                   "choose another -o, or add --force to replace it");
}

std::string PartialPath(const v1::FileEntry& entry, const std::string& to) {
  return to + "." + ToHex(entry.digest().sha256()).substr(0, 12) + ".part";
}

// Its disk has lost the content: the answer stays the same, and says what to do.
bool IsLostOnServer(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "BLOB_DAMAGED" || reason == "BLOB_MISSING";
}

// The download of one file into its partial file. The digest is part of the partial file's name, so that what is
// resumed is always the same content.
class FileDownload {
 public:
  FileDownload(const Session& session, const std::string& artifact, const v1::FileEntry& entry, const std::string& to)
      : session_(session), artifact_(artifact), entry_(entry), to_(to), part_(PartialPath(entry, to)) {}

  // `before` and `total`: bytes of the other files, for the progress.
  absl::Status Run(int64_t before, int64_t total);

 private:
  absl::Status OpenPart();
  absl::Status Fetch();
  absl::Status FetchFrom(int64_t offset);
  absl::Status StartOver();
  void Show(int64_t done) const;

  const Session& session_;
  const std::string& artifact_;
  const v1::FileEntry& entry_;
  const std::string& to_;
  const std::string part_;
  UniqueFd fd_;
  std::unique_ptr<Sha256> hash_;  // of the first `position_` bytes
  int64_t position_ = 0;
  int64_t before_ = 0;
  int64_t total_ = 0;
};

absl::Status FileDownload::Run(int64_t before, int64_t total) {
  before_ = before;
  total_ = total;
  NS_RETURN_IF_ERROR(MakeDirectories(ParentOf(to_)));
  NS_RETURN_IF_ERROR(OpenPart());
  for (int damaged = 0;;) {
    const bool resumed = position_ > 0;
    NS_RETURN_IF_ERROR(Fetch());
    if (hash_->Finish() == entry_.digest().sha256()) return CommitFile(fd_.get(), part_, to_);
    NS_RETURN_IF_ERROR(StartOver());
    // What an earlier run left may be damaged; a whole download that is wrong is wrong.
    if (!resumed || ++damaged >= kMaxDamaged) break;
  }
  unlink(part_.c_str());
  return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   "the bytes received for " + entry_.path() + " do not match the digest of the artifact",
                   "pull again; if it stays, retry the job, since the stored artifact is damaged");
}

absl::Status FileDownload::OpenPart() {
  fd_ = UniqueFd(open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (fd_.get() < 0) return ErrnoError(errno, part_);
  if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kAborted, "PULL_RUNNING", "another nashswarm is writing " + part_,
                     "wait for it to end");
  }
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return ErrnoError(errno, part_);
  if (info.st_size == 0 || info.st_size > entry_.digest().size_bytes()) return StartOver();
  hash_ = std::make_unique<Sha256>();
  std::string buffer(1 << 20, '\0');
  while (position_ < info.st_size) {
    const ssize_t got = pread(fd_.get(), buffer.data(), buffer.size(), position_);
    if (got <= 0) return ErrnoError(errno, part_);
    hash_->Update({buffer.data(), static_cast<size_t>(got)});
    position_ += got;
    NS_RETURN_IF_ERROR(session_.interrupt.Check());
  }
  return absl::OkStatus();
}

absl::Status FileDownload::StartOver() {
  hash_ = std::make_unique<Sha256>();
  position_ = 0;
  if (ftruncate(fd_.get(), 0) != 0) return ErrnoError(errno, part_);
  return absl::OkStatus();
}

absl::Status FileDownload::Fetch() {
  Backoff backoff(session_, session_.transfer);
  int damaged = 0;
  while (position_ < entry_.digest().size_bytes()) {
    const int64_t start = position_;
    const absl::Status status = FetchFrom(start);
    if (position_ > start) backoff.Reset();
    if (status.ok()) continue;
    if (IsLostOnServer(status)) {
      unlink(part_.c_str());  // what came before the server noticed is of no use
      return status;
    }
    const bool damage = status.code() == absl::StatusCode::kDataLoss;
    if (damage && ++damaged >= kMaxDamaged) return Annotate(status, entry_.path());
    if (!damage && !IsConnectionLoss(status)) return Annotate(status, entry_.path());
    if (const absl::Status wait = backoff.Wait(status); !wait.ok()) return ExplainUnreachable(session_, wait);
  }
  return absl::OkStatus();
}

absl::Status FileDownload::FetchFrom(int64_t offset) {
  v1::ReadFileRequest request;
  request.set_name(artifact_);
  request.set_path(entry_.path());
  request.set_read_offset(offset);
  Call call(session_.interrupt, kSilence);
  NS_RETURN_IF_ERROR(session_.server.Authorize(call.context()));
  const auto stream = session_.server.artifacts()->ReadFile(call.context(), request);
  ByteWorker hasher([this](std::string& data) {
    hash_->Update(data);
    position_ += static_cast<int64_t>(data.size());
    return absl::OkStatus();
  });
  StreamedFile file(fd_.get(), part_, offset, entry_.digest().size_bytes() - offset);
  ByteWorker writer([&file, &hasher](std::string& data) -> absl::Status {
    NS_RETURN_IF_ERROR(file.Append(data));
    return hasher.Push(std::move(data));
  });
  int64_t received = offset;
  absl::Status problem;
  v1::ReadFileResponse response;
  while (problem.ok() && stream->Read(&response)) {
    call.Touch();
    std::string& data = *response.mutable_data();
    if (data.empty()) continue;
    if (Crc32c(data) != response.crc32c()) {
      problem = MakeError(absl::StatusCode::kDataLoss, "CHUNK_CORRUPT", "a chunk arrived damaged");
    } else if (static_cast<int64_t>(data.size()) > entry_.digest().size_bytes() - received) {
      problem = MakeError(absl::StatusCode::kDataLoss, "TOO_LONG", "the server sent more than the file holds");
    } else {
      received += static_cast<int64_t>(data.size());
      problem = writer.Push(std::move(data));
      Show(received);
    }
  }
  if (!problem.ok()) call.context()->TryCancel();
  const absl::Status status = call.Finish(stream->Finish());
  const absl::Status written = writer.Finish();
  NS_RETURN_IF_ERROR(hasher.Finish());
  NS_RETURN_IF_ERROR(written);
  NS_RETURN_IF_ERROR(file.Finish());
  if (!problem.ok()) return problem;
  NS_RETURN_IF_ERROR(status);
  if (position_ == entry_.digest().size_bytes()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnavailable, "", "the stream ended early");
}

void FileDownload::Show(int64_t done) const {
  session_.progress.Update({.stage = "download",
                            .done = before_ + done,
                            .total = total_,
                            .unit = kBytes,
                            .detail = entry_.path()});
}

// OK to write; `present` when the file is there with just this content.
absl::Status CheckPresent(const Session& session, const v1::FileEntry& entry, const std::string& path, bool force,
                          bool* present) {
  *present = false;
  if (!FileExists(path)) return absl::OkStatus();
  if (IsDirectory(path)) return Exists(path + " (a directory)");
  if (const auto size = FileSize(path); size.ok() && *size == entry.digest().size_bytes()) {
    const auto check = [&](int64_t) { return session.interrupt.Check(); };
    NS_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path, check));
    *present = sha256 == entry.digest().sha256();
  }
  return *present || force ? absl::OkStatus() : Exists(path);
}

// Those that the file `path` needs below `out`, the deepest first; rmdir refuses one that holds something.
void RemoveEmptyDirectories(std::string path, const std::string& out) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos; slash = path.rfind('/')) {
    path.resize(slash);
    rmdir(JoinPath(out, path).c_str());
  }
}

}  // namespace

std::string BesideSingleFile(const std::string& out, const std::string& name) { return Stem(out) + "." + name; }

bool IsSingleFile(const std::string& out) { return out.size() > sizeof(kGguf) - 1 && EndsWith(out, kGguf); }

absl::Status CheckOutputKind(const std::string& out, const std::string& format) {
  if (format != kNsq || !IsSingleFile(out)) return absl::OkStatus();
  return UsageError("an nsq artifact is a directory and does not fit into the file " + out,
                    "give a directory: -o " + Stem(out));
}

absl::StatusOr<std::vector<std::string>> PlanPaths(const v1::Artifact& artifact, const std::string& out) {
  NS_RETURN_IF_ERROR(CheckOutputKind(out, artifact.format()));
  const bool single = IsSingleFile(out);
  int ggufs = 0;
  std::vector<std::string> paths;
  for (const auto& file : artifact.files()) {
    if (!IsSafeRelativePath(file.path())) {
      return MakeError(absl::StatusCode::kDataLoss, "UNSAFE_PATH",
                       "the artifact names a file outside of itself: '" + file.path() + "'");
    }
    const bool gguf = EndsWith(file.path(), kGguf);
    ggufs += gguf;
    if (!single) {
      paths.push_back(JoinPath(out, file.path()));
    } else if (gguf) {
      paths.push_back(out);
    } else {
      std::string name = file.path();
      std::replace(name.begin(), name.end(), '/', '.');
      paths.push_back(BesideSingleFile(out, name));
    }
  }
  if (single && ggufs != 1) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_ONE_FILE",
                     artifact.name() + " has " + std::to_string(ggufs) + " GGUF files, so it does not fit into " + out,
                     "give a directory: -o " + Stem(out));
  }
  return paths;
}

absl::Status CheckOutput(const std::string& out, const std::string& format, bool force) {
  NS_RETURN_IF_ERROR(CheckOutputKind(out, format));
  if (IsSingleFile(out)) {
    std::vector<std::string> paths = {out};
    for (const char* name : kBesideTheWeights) paths.push_back(BesideSingleFile(out, name));
    for (const std::string& path : paths) {
      if (FileExists(path) && !(force && !IsDirectory(path))) return Exists(path);
    }
    return absl::OkStatus();
  }
  if (FileExists(out) && !IsDirectory(out)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", out + " exists and is not a directory",
                     "choose another -o");
  }
  std::vector<std::string> names = {"model.gguf"};
  if (format == kNsq) names = {"config.json", "model.nsq", "model.safetensors"};
  names.insert(names.end(), kBesideTheWeights.begin(), kBesideTheWeights.end());
  for (const std::string& name : names) {
    const std::string path = JoinPath(out, name);
    if (!force && FileExists(path)) return Exists(path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Pull(const Session& session, const v1::Artifact& artifact,
                                              const std::string& out, bool force,
                                              std::vector<std::string>* written) {
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> paths, PlanPaths(artifact, out));
  int64_t total = 0;
  std::vector<bool> present(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto& file = artifact.files(static_cast<int>(i));
    total += file.digest().size_bytes();
    bool here = false;
    NS_RETURN_IF_ERROR(CheckPresent(session, file, paths[i], force, &here));
    present[i] = here;
  }
  int64_t before = 0;
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto& file = artifact.files(static_cast<int>(i));
    if (!present[i]) {
      NS_RETURN_IF_ERROR(FileDownload(session, artifact.name(), file, paths[i]).Run(before, total));
      if (written != nullptr) written->push_back(paths[i]);
    }
    before += file.digest().size_bytes();
  }
  session.progress.Done();
  return paths;
}

void RemoveBrokenPull(const v1::Artifact& artifact, const std::string& out, const std::vector<std::string>& written) {
  const auto paths = PlanPaths(artifact, out);
  if (!paths.ok()) return;
  for (const std::string& path : written) unlink(path.c_str());
  for (size_t i = 0; i < paths->size(); ++i) {
    unlink(PartialPath(artifact.files(static_cast<int>(i)), (*paths)[i]).c_str());
    if (!IsSingleFile(out)) RemoveEmptyDirectories(artifact.files(static_cast<int>(i)).path(), out);
  }
}

}  // namespace nashswarm::cli
