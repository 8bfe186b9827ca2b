#include "client/cli/upload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <random>

#include "client/cli/byte_worker.h"
#include "client/cli/data_files.h"
#include "client/cli/digest.h"
#include "client/cli/files.h"
#include "client/cli/user_files.h"

namespace nashswarm::cli {
namespace {

// Large enough for full loopback speed; a server with a smaller limit says so.
constexpr int64_t kChunkBytes = 1 << 20;
// A stream whose Write has not returned for so long is dead: the other side stopped taking bytes.
constexpr std::chrono::seconds kSilence(60);
// The server reads every header before it publishes, and may read all of what it has already before it trusts it.
constexpr std::chrono::seconds kCheckDeadline(600);
// Damage on the way happens; damage every time is something else.
constexpr int kMaxDamaged = 3;
// Of a server's models by their thousand: beyond, it may have anything.
constexpr int kMaxPages = 10;
// So many files of one size are compared, in so many bytes at a place, before a file is hashed to ask for it.
constexpr int kMaxLooks = 4;
constexpr int64_t kLookBytes = 64 << 10;

// What says that a file is still the one it was, as far as that can be told without reading it.
std::string Stamp(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return "";
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + ":" + std::to_string(info.st_size) + ":" +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

absl::Status FileChanged(const LocalFile& file) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_CHANGED", file.path + " changed while it was pushed",
                   "wait until nothing writes it, then push again");
}

ProgressState BytesState(const std::string& stage, int64_t done, int64_t total, const std::string& detail) {
  return {.stage = stage, .done = done, .total = total, .unit = kBytes, .detail = detail};
}

// One push: the files, and how many bytes of all of them the server holds.
class Pusher {
 public:
  Pusher(const Session& session, const PushRequest& request) : session_(session), request_(request) {}

  absl::StatusOr<PushResult> Run();

 private:
  bool is_data() const { return !request_.data_file.empty(); }
  absl::Status SelectWhatToSend();
  absl::Status HashFiles();
  absl::StatusOr<std::string> HashFile(const LocalFile& file, int64_t* hashed);
  // The files of all the server's models, by size; nullopt when there are too many models to ask for.
  struct FileOnServer {
    std::string model, path;
  };
  using FilesBySize = std::multimap<int64_t, FileOnServer>;
  absl::StatusOr<std::optional<FilesBySize>> FilesOnServer();
  // Whether the server may have the file: it is hashed to find out. Otherwise it is hashed while it is sent.
  absl::StatusOr<bool> MayBeOnServer(const LocalFile& file, const std::optional<FilesBySize>& known);
  // Of a file of the same size: whether some bytes of both are the same, as far as the server tells.
  absl::StatusOr<bool> LooksTheSame(const LocalFile& file, const FileOnServer& other);
  // Digest and CRC-32C keep pace with the sending; `hash` has the file's first `offset` bytes.
  absl::Status SendChunks(Call& call, grpc::ClientWriter<v1::WriteFileRequest>& stream, int fd, size_t index, int64_t offset,
                          Sha256* hash, bool* open_for_writes);
  absl::Status HashBeginning(int fd, size_t index, int64_t bytes, Sha256* hash);
  absl::Status LearnChunkSize();
  absl::StatusOr<v1::Upload> Create(const std::string& request_id);
  absl::StatusOr<v1::Upload> FindOrCreate(PushResult* result);
  static int64_t SettledBytes(const v1::Upload& upload);  // of the files that are whole on the server
  absl::Status SendFiles(const v1::Upload& upload);
  absl::StatusOr<v1::Upload> StateOf(const std::string& upload);
  absl::Status SendFile(const v1::Upload& upload, const v1::Upload::File& state, size_t index);
  absl::Status SendFrom(const std::string& upload, size_t index, int64_t offset);
  absl::StatusOr<v1::Upload::File> FileState(const std::string& upload, size_t index);
  absl::Status ExplainDamage(size_t index, const absl::Status& damage);
  size_t IndexOf(const std::string& path) const;

  const Session& session_;
  const PushRequest& request_;
  std::vector<LocalFile> files_;
  std::vector<v1::FileEntry> entries_;  // as files_; without a SHA-256 while that is not known
  std::string stamps_;                  // of the files that are hashed while they are sent
  int64_t chunk_bytes_ = kChunkBytes;
  int64_t total_bytes_ = 0;
  int64_t settled_bytes_ = 0;  // of the files that are whole on the server
  int64_t sent_bytes_ = 0;
};

std::string MachineOwner(const std::string& source) {
  std::string owner;
  if (const auto id = ReadSmallFile("/etc/machine-id", 64); id.ok()) owner = *id;
  std::array<char, HOST_NAME_MAX + 1> host = {};
  gethostname(host.data(), host.size() - 1);
  std::error_code error;
  const auto path = std::filesystem::canonical(source, error);
  return owner + "\n" + host.data() + "\n" + std::to_string(getuid()) + "\n" + (error ? source : path.string());
}

std::string RandomSuffix() {
  std::random_device device;
  return std::to_string(device()) + std::to_string(device());
}

absl::StatusOr<PushResult> Pusher::Run() {
  NS_RETURN_IF_ERROR(SelectWhatToSend());
  NS_RETURN_IF_ERROR(LearnChunkSize());
  NS_RETURN_IF_ERROR(HashFiles());

  PushResult result;
  NS_ASSIGN_OR_RETURN(v1::Upload upload, FindOrCreate(&result));
  if (upload.state() == v1::Upload::COMPLETED) {
    result.bytes_known = total_bytes_;
    return result;
  }
  result.bytes_known = SettledBytes(upload);
  for (int lost = 0;; ++lost) {
    NS_RETURN_IF_ERROR(SendFiles(upload));
    v1::CompleteUploadRequest complete;
    complete.set_name(upload.name());
    const absl::Status status =
        CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::CompleteUpload, complete, &result.model,
                  session_.transfer, kCheckDeadline);
    result.bytes_sent = sent_bytes_;
    if (status.ok()) return result;
    // Its disk has lost something since: it says what when it is asked.
    if (ReasonOf(status) != "UPLOAD_INCOMPLETE" || lost == kMaxDamaged) {
      return InUserTerms(status, {.directory = request_.directory});
    }
    NS_ASSIGN_OR_RETURN(upload, StateOf(upload.name()));
  }
}

int64_t Pusher::SettledBytes(const v1::Upload& upload) {
  int64_t bytes = 0;
  for (const auto& file : upload.files()) {
    if (file.complete()) bytes += file.entry().digest().size_bytes();
  }
  return bytes;
}

absl::Status Pusher::SendFiles(const v1::Upload& upload) {
  settled_bytes_ = SettledBytes(upload);
  for (const auto& file : upload.files()) {
    if (file.complete()) continue;
    const size_t index = IndexOf(file.entry().path());
    if (index == files_.size()) {
      return MakeError(absl::StatusCode::kInternal, "PROTOCOL",
                       "the server asks for " + file.entry().path() + ", which was not offered");
    }
    NS_RETURN_IF_ERROR(SendFile(upload, file, index));
    settled_bytes_ += files_[index].size;
  }
  session_.progress.Done();
  return absl::OkStatus();
}

absl::Status Pusher::SelectWhatToSend() {
  if (!is_data()) {
    NS_ASSIGN_OR_RETURN(files_, SelectFiles(request_.directory));
    return absl::OkStatus();
  }
  NS_ASSIGN_OR_RETURN(const LocalFile file, SelectDataFile(request_.data_file));
  files_ = {file};
  return absl::OkStatus();
}

absl::Status Pusher::LearnChunkSize() {
  v1::ServerInfo info;
  NS_RETURN_IF_ERROR(CallUnary(session_, session_.server.info(), &v1::InfoService::Stub::GetServerInfo,
                               v1::GetServerInfoRequest(), &info));
  const int64_t limit = info.limits().max_chunk_bytes();
  if (limit > 0) chunk_bytes_ = std::min(chunk_bytes_, limit);
  return absl::OkStatus();
}

absl::Status Pusher::HashFiles() {
  for (const LocalFile& file : files_) total_bytes_ += file.size;
  std::optional<FilesBySize> known;
  if (std::any_of(files_.begin(), files_.end(), [this](const auto& f) { return f.size >= request_.hash_later_from; })) {
    NS_ASSIGN_OR_RETURN(known, FilesOnServer());
  }
  int64_t hashed = 0;
  for (const LocalFile& file : files_) {
    v1::FileEntry entry;
    entry.set_path(file.name);
    entry.mutable_digest()->set_size_bytes(file.size);
    NS_ASSIGN_OR_RETURN(const bool hash_now, MayBeOnServer(file, known));
    if (!hash_now) {
      const UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
      if (fd.get() < 0) return ErrnoError(errno, file.path);
      stamps_ += "\n" + file.name + " " + Stamp(fd.get());
    } else {
      NS_ASSIGN_OR_RETURN(*entry.mutable_digest()->mutable_sha256(), HashFile(file, &hashed));
    }
    entries_.push_back(std::move(entry));
  }
  session_.progress.Done();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Pusher::HashFile(const LocalFile& file, int64_t* hashed) {
  int64_t size = 0;
  const auto count = [&](int64_t bytes) -> absl::Status {
    size += bytes;
    *hashed += bytes;
    session_.progress.Update(BytesState("hash", *hashed, total_bytes_, file.name));
    return session_.interrupt.Check();
  };
  NS_ASSIGN_OR_RETURN(std::string sha256, Sha256OfFile(file.path, count));
  if (size == file.size) return sha256;
  return MakeError(absl::StatusCode::kAborted, "FILE_CHANGED", file.path + " changed while it was read",
                   "wait until nothing writes it, then push again");
}

absl::StatusOr<bool> Pusher::MayBeOnServer(const LocalFile& file, const std::optional<FilesBySize>& known) {
  if (file.size < request_.hash_later_from || !known.has_value()) return true;
  const auto [begin, end] = known->equal_range(file.size);
  if (std::distance(begin, end) > kMaxLooks) return true;
  for (auto other = begin; other != end; ++other) {
    NS_ASSIGN_OR_RETURN(const bool same, LooksTheSame(file, other->second));
    if (same) return true;
  }
  return false;
}

absl::StatusOr<bool> Pusher::LooksTheSame(const LocalFile& file, const FileOnServer& other) {
  const UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, file.path);
  // The beginning is a header, which fine-tuning leaves as it is.
  for (const int64_t begin : {std::max<int64_t>(file.size - kLookBytes, 0), file.size / 2}) {
    std::string mine(static_cast<size_t>(std::min(kLookBytes, file.size - begin)), '\0');
    const ssize_t got = pread(fd.get(), mine.data(), mine.size(), begin);
    if (got != static_cast<ssize_t>(mine.size())) return got < 0 ? ErrnoError(errno, file.path) : FileChanged(file);
    v1::ReadFileRequest request;
    request.set_name(other.model);
    request.set_path(other.path);
    request.set_read_offset(begin);
    request.set_read_limit(got);
    Call call(session_.interrupt, kSilence);
    NS_RETURN_IF_ERROR(session_.server.Authorize(call.context()));
    const auto stream = session_.server.artifacts()->ReadFile(call.context(), request);
    std::string theirs;
    for (v1::ReadFileResponse response; stream->Read(&response); call.Touch()) theirs += response.data();
    const absl::Status status = call.Finish(stream->Finish());
    NS_RETURN_IF_ERROR(session_.interrupt.Check());
    if (!status.ok()) return true;  // deleted meanwhile, damaged, busy: hashing is never wrong
    if (theirs != mine) return false;
  }
  return true;
}

absl::StatusOr<std::optional<Pusher::FilesBySize>> Pusher::FilesOnServer() {
  FilesBySize files;
  v1::ListModelsRequest list;
  list.set_page_size(1000);
  for (int page = 0; page < kMaxPages; ++page) {
    v1::ListModelsResponse models;
    NS_RETURN_IF_ERROR(
        CallUnary(session_, session_.server.models(), &v1::ModelService::Stub::ListModels, list, &models));
    for (const v1::Model& model : models.models()) {
      for (const v1::FileEntry& file : model.files()) {
        files.insert({file.digest().size_bytes(), {model.name(), file.path()}});
      }
    }
    if (models.next_page_token().empty()) return files;
    list.set_page_token(models.next_page_token());
  }
  return std::nullopt;
}

absl::StatusOr<v1::Upload> Pusher::Create(const std::string& request_id) {
  v1::CreateUploadRequest create;
  create.set_model_id(request_.model_id);
  create.set_request_id(request_id);
  if (is_data()) create.set_kind(v1::Model::DATA);
  for (const v1::FileEntry& entry : entries_) *create.add_files() = entry;
  for (const auto& [key, value] : request_.labels) (*create.mutable_labels())[key] = value;
  v1::Upload upload;
  NS_RETURN_IF_ERROR(
      CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::CreateUpload, create, &upload,
                kFirstContact, kCheckDeadline));
  return upload;
}

// An upload to go on with, or a completed one with its model in `result`. An earlier upload under our id that was
// dropped, or whose model was deleted since, is of no use: then a new id.
absl::StatusOr<v1::Upload> Pusher::FindOrCreate(PushResult* result) {
  const std::string owner = MachineOwner(is_data() ? request_.data_file : request_.directory) + stamps_;
  NS_ASSIGN_OR_RETURN(v1::Upload upload, Create(RequestIdOf(request_, entries_, owner)));
  if (upload.state() == v1::Upload::ACTIVE) return upload;
  if (upload.state() == v1::Upload::COMPLETED) {
    v1::GetModelRequest get;
    get.set_name(upload.model());
    const absl::Status found =
        CallUnary(session_, session_.server.models(), &v1::ModelService::Stub::GetModel, get, &result->model);
    if (found.ok()) return upload;
    if (found.code() != absl::StatusCode::kNotFound) return found;
  }
  return Create(RequestIdOf(request_, entries_, owner + RandomSuffix()));
}

absl::Status Pusher::SendFile(const v1::Upload& upload, const v1::Upload::File& state, size_t index) {
  int64_t committed = state.committed_size();
  int damaged = 0;
  Backoff backoff(session_, session_.transfer);
  while (true) {
    const absl::Status status = SendFrom(upload.name(), index, committed);
    if (status.ok()) return status;
    const bool damage = status.code() == absl::StatusCode::kDataLoss;
    if (damage) {
      if (ReasonOf(status) == "DIGEST_MISMATCH") NS_RETURN_IF_ERROR(ExplainDamage(index, status));
      if (++damaged >= kMaxDamaged) return Annotate(status, files_[index].name);
    }
    // ABORTED: our offset is stale, or another writer has taken the file over. Where the file stands decides.
    if (!damage && status.code() != absl::StatusCode::kAborted && !IsConnectionLoss(status)) {
      return Annotate(status, files_[index].name);
    }
    if (const absl::Status wait = backoff.Wait(status); !wait.ok()) return ExplainUnreachable(session_, wait);
    NS_ASSIGN_OR_RETURN(const v1::Upload::File now, FileState(upload.name(), index));
    if (now.complete()) return absl::OkStatus();
    if (now.committed_size() > committed) backoff.Reset();
    committed = now.committed_size();
  }
}

absl::Status Pusher::SendFrom(const std::string& upload, size_t index, int64_t offset) {
  const LocalFile& file = files_[index];
  const UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, file.path);

  v1::Digest& digest = *entries_[index].mutable_digest();
  const std::string stamp = Stamp(fd.get());
  Sha256 hash;
  const bool hashing = digest.sha256().empty();
  if (hashing) NS_RETURN_IF_ERROR(HashBeginning(fd.get(), index, offset, &hash));

  Call call(session_.interrupt, kSilence);
  NS_RETURN_IF_ERROR(session_.server.Authorize(call.context()));
  v1::WriteFileResponse response;
  const auto stream = session_.server.uploads()->WriteFile(call.context(), &response);
  v1::WriteFileRequest message;
  message.mutable_header()->set_upload(upload);
  message.mutable_header()->set_path(file.name);
  message.mutable_header()->set_write_offset(offset);
  bool open_for_writes = stream->Write(message);
  absl::Status sent = SendChunks(call, *stream, fd.get(), index, offset, hashing ? &hash : nullptr, &open_for_writes);
  if (sent.ok() && hashing && open_for_writes && Stamp(fd.get()) != stamp) sent = FileChanged(file);
  if (!sent.ok()) {
    call.context()->TryCancel();
    (void)stream->Finish();
    return sent;
  }
  if (open_for_writes) {
    if (hashing) digest.set_sha256(hash.Finish());
    *message.mutable_finish() = digest;
    stream->WriteLast(message, grpc::WriteOptions());
  }
  NS_RETURN_IF_ERROR(call.Finish(stream->Finish()));
  if (response.complete()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "INCOMPLETE", "the server took only a part of the file");
}

absl::Status Pusher::SendChunks(Call& call, grpc::ClientWriter<v1::WriteFileRequest>& stream, int fd, size_t index,
                                int64_t offset, Sha256* hash, bool* open_for_writes) {
  const LocalFile& file = files_[index];
  ByteWorker hasher([hash](std::string& bytes) {
    if (hash != nullptr) hash->Update(bytes);
    return absl::OkStatus();
  });
  v1::WriteFileRequest message;
  for (int64_t position = offset; *open_for_writes && position < file.size;) {
    std::string buffer(static_cast<size_t>(std::min(chunk_bytes_, file.size - position)), '\0');
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), position);
    if (got < 0) return ErrnoError(errno, file.path);
    if (got == 0) return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_CHANGED", file.path + " became shorter");
    buffer.resize(static_cast<size_t>(got));
    auto* chunk = message.mutable_chunk();
    chunk->set_crc32c(Crc32c(buffer));
    chunk->mutable_data()->swap(buffer);
    *open_for_writes = stream.Write(message);
    if (!*open_for_writes) break;
    call.Touch();
    if (hash != nullptr) NS_RETURN_IF_ERROR(hasher.Push(std::move(*chunk->mutable_data())));
    position += got;
    sent_bytes_ += got;
    session_.progress.Update(BytesState("upload", settled_bytes_ + position, total_bytes_, file.name));
  }
  return hasher.Finish();
}

// What an earlier stream, or an earlier push, has sent.
absl::Status Pusher::HashBeginning(int fd, size_t index, int64_t bytes, Sha256* hash) {
  std::string buffer(static_cast<size_t>(std::min(chunk_bytes_, bytes)), '\0');
  for (int64_t position = 0; position < bytes;) {
    const auto want = static_cast<size_t>(std::min<int64_t>(bytes - position, static_cast<int64_t>(buffer.size())));
    const ssize_t got = pread(fd, buffer.data(), want, position);
    if (got < 0) return ErrnoError(errno, files_[index].path);
    if (got == 0) return FileChanged(files_[index]);
    hash->Update({buffer.data(), static_cast<size_t>(got)});
    position += got;
    NS_RETURN_IF_ERROR(session_.interrupt.Check());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Upload> Pusher::StateOf(const std::string& upload) {
  v1::GetUploadRequest get;
  get.set_name(upload);
  v1::Upload now;
  NS_RETURN_IF_ERROR(
      CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::GetUpload, get, &now, session_.transfer));
  return now;
}

absl::StatusOr<v1::Upload::File> Pusher::FileState(const std::string& upload, size_t index) {
  NS_ASSIGN_OR_RETURN(const v1::Upload now, StateOf(upload));
  for (const auto& file : now.files()) {
    if (file.entry().path() == files_[index].name) return file;
  }
  return MakeError(absl::StatusCode::kInternal, "PROTOCOL", "the upload has lost the file " + files_[index].name);
}

// The server holds other bytes than were announced: either the file has changed since, or they were damaged.
absl::Status Pusher::ExplainDamage(size_t index, const absl::Status& damage) {
  const LocalFile& file = files_[index];
  const auto check = [&](int64_t) { return session_.interrupt.Check(); };
  NS_ASSIGN_OR_RETURN(const std::string now, Sha256OfFile(file.path, check));
  if (now == entries_[index].digest().sha256()) return absl::OkStatus();
  return FileChanged(file);
}

size_t Pusher::IndexOf(const std::string& path) const {
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const LocalFile& f) { return f.name == path; });
  return static_cast<size_t>(found - files_.begin());
}

}  // namespace

std::string RequestIdOf(const PushRequest& request, const std::vector<v1::FileEntry>& files, const std::string& owner) {
  Sha256 hash;
  const auto add = [&hash](const std::string& text) { hash.Update(std::to_string(text.size()) + ":" + text); };
  add(request.data_file.empty() ? "nashswarm push 1" : "nashswarm push data 1");
  add(owner);
  add(request.model_id);
  for (const auto& [key, value] : request.labels) {
    add(key);
    add(value);
  }
  for (const v1::FileEntry& file : files) {
    add(file.path());
    add(file.digest().sha256());
  }
  std::string raw = hash.Finish().substr(0, 16);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x80);  // version 8: made by a rule of our own (RFC 9562)
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  const std::string hex = ToHex(raw);
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
         hex.substr(20);
}

absl::StatusOr<PushResult> Push(const Session& session, const PushRequest& request) {
  PushRequest named = request;
  // Artifacts made of it are called so, unless the user or the model itself says otherwise.
  const std::string name = request.data_file.empty() ? NameOfCheckpoint(request.directory) : "";
  if (!name.empty()) named.labels.emplace("name", name);
  return Pusher(session, named).Run();
}

}  // namespace nashswarm::cli
