#include "client/cli/upload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <random>

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
// The server reads every header before it publishes.
constexpr std::chrono::seconds kCompleteDeadline(600);
// Damage on the way happens; damage every time is something else.
constexpr int kMaxDamaged = 3;

ProgressState BytesState(const std::string& stage, int64_t done, int64_t total, const std::string& detail) {
  return {.stage = stage, .done = done, .total = total, .unit = ProgressState::Unit::kBytes, .detail = detail};
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
  absl::Status LearnChunkSize();
  absl::StatusOr<v1::Upload> Create(const std::string& request_id);
  absl::StatusOr<v1::Upload> FindOrCreate(PushResult* result);
  absl::Status SendFile(const v1::Upload& upload, const v1::Upload::File& state, size_t index);
  absl::Status SendFrom(const std::string& upload, size_t index, int64_t offset);
  absl::StatusOr<v1::Upload::File> FileState(const std::string& upload, size_t index);
  absl::Status ExplainDamage(size_t index, const absl::Status& damage);
  size_t IndexOf(const std::string& path) const;

  const Session& session_;
  const PushRequest& request_;
  std::vector<LocalFile> files_;
  std::vector<v1::FileEntry> entries_;  // as files_
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
  NS_ASSIGN_OR_RETURN(const v1::Upload upload, FindOrCreate(&result));
  if (upload.state() == v1::Upload::COMPLETED) {
    result.bytes_known = total_bytes_;
    return result;
  }
  for (const auto& file : upload.files()) {
    if (file.complete()) settled_bytes_ += file.entry().digest().size_bytes();
  }
  result.bytes_known = settled_bytes_;
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
  result.bytes_sent = sent_bytes_;

  v1::CompleteUploadRequest complete;
  complete.set_name(upload.name());
  const absl::Status completed = CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::CompleteUpload,
                                           complete, &result.model, session_.transfer, kCompleteDeadline);
  NS_RETURN_IF_ERROR(InUserTerms(completed, {.directory = request_.directory}));
  return result;
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
  int64_t hashed = 0;
  for (const LocalFile& file : files_) {
    int64_t size = 0;
    const auto count = [&](int64_t bytes) -> absl::Status {
      size += bytes;
      hashed += bytes;
      session_.progress.Update(BytesState("hash", hashed, total_bytes_, file.name));
      return session_.interrupt.Check();
    };
    NS_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(file.path, count));
    if (size != file.size) {
      return MakeError(absl::StatusCode::kAborted, "FILE_CHANGED", file.path + " changed while it was read",
                       "wait until nothing writes it, then push again");
    }
    v1::FileEntry entry;
    entry.set_path(file.name);
    entry.mutable_digest()->set_sha256(sha256);
    entry.mutable_digest()->set_size_bytes(size);
    entries_.push_back(std::move(entry));
  }
  session_.progress.Done();
  return absl::OkStatus();
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
      CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::CreateUpload, create, &upload));
  return upload;
}

// An upload to go on with, or a completed one with its model in `result`. An earlier upload under our id that was
// dropped, or whose model was deleted since, is of no use: then a new id.
absl::StatusOr<v1::Upload> Pusher::FindOrCreate(PushResult* result) {
  const std::string owner = MachineOwner(is_data() ? request_.data_file : request_.directory);
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

  Call call(session_.interrupt, kSilence);
  NS_RETURN_IF_ERROR(session_.server.Authorize(call.context()));
  v1::WriteFileResponse response;
  const auto stream = session_.server.uploads()->WriteFile(call.context(), &response);
  v1::WriteFileRequest message;
  message.mutable_header()->set_upload(upload);
  message.mutable_header()->set_path(file.name);
  message.mutable_header()->set_write_offset(offset);
  bool open_for_writes = stream->Write(message);

  int64_t position = offset;
  std::string buffer;
  while (open_for_writes && position < file.size) {
    buffer.resize(static_cast<size_t>(std::min(chunk_bytes_, file.size - position)));
    const ssize_t got = pread(fd.get(), buffer.data(), buffer.size(), position);
    if (got <= 0) {
      const int error = errno;
      call.context()->TryCancel();
      (void)stream->Finish();
      if (got < 0) return ErrnoError(error, file.path);
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_CHANGED", file.path + " became shorter");
    }
    buffer.resize(static_cast<size_t>(got));
    auto* chunk = message.mutable_chunk();
    chunk->set_crc32c(Crc32c(buffer));
    chunk->mutable_data()->swap(buffer);
    open_for_writes = stream->Write(message);
    if (!open_for_writes) break;
    call.Touch();
    position += got;
    sent_bytes_ += got;
    session_.progress.Update(BytesState("upload", settled_bytes_ + position, total_bytes_, file.name));
  }
  if (open_for_writes) {
    *message.mutable_finish() = entries_[index].digest();
    stream->WriteLast(message, grpc::WriteOptions());
  }
  NS_RETURN_IF_ERROR(call.Finish(stream->Finish()));
  if (response.complete()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "INCOMPLETE", "the server took only a part of the file");
}

absl::StatusOr<v1::Upload::File> Pusher::FileState(const std::string& upload, size_t index) {
  v1::GetUploadRequest get;
  get.set_name(upload);
  v1::Upload now;
  const absl::Status status =
      CallUnary(session_, session_.server.uploads(), &v1::UploadService::Stub::GetUpload, get, &now, session_.transfer);
  if (!status.ok()) return status;
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
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_CHANGED", file.path + " changed while it was pushed",
                   "wait until nothing writes it, then push again");
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
  return Pusher(session, request).Run();
}

}  // namespace nashswarm::cli
