#include "server/services/upload_file_writer.h"

#include "core/base/status.h"
#include "server/log/log.h"
#include "server/store/error_proto.h"

namespace nashswarm::server {
namespace {

// Chunks of up to 2 MiB: enough to bridge an fdatasync, little enough for many streams.
constexpr size_t kQueueLength = 8;

// Parts are never shared between writers: the epoch makes the key unique.
std::string StagingKey(const UploadWriter& writer) {
  return absl::StrCat(writer.upload_id, "/", ToHex(Sha256Of(writer.path)).substr(0, 16), "-", writer.epoch);
}

}  // namespace

UploadFileWriter::UploadFileWriter(UploadStore* uploads, BlobStore* blobs, UploadWriter writer, int64_t part_bytes,
                                   int64_t ttl_us)
    : uploads_(uploads),
      blobs_(blobs),
      writer_(std::move(writer)),
      part_bytes_(part_bytes),
      ttl_us_(ttl_us),
      key_(StagingKey(writer_)),
      start_(writer_.committed),
      received_(writer_.committed) {
  write_thread_ = std::thread([this] { WriteLoop(); });
  commit_thread_ = std::thread([this] { CommitLoop(); });
}

UploadFileWriter::~UploadFileWriter() { Close().IgnoreError(); }

absl::Status UploadFileWriter::Push(std::string bytes) {
  NS_RETURN_IF_ERROR(HashEarlierParts());
  received_ += static_cast<int64_t>(bytes.size());
  hash_.Update(bytes);
  Piece piece{std::move(bytes), hash_.Save()};
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kQueueLength || !status_.ok(); });
  NS_RETURN_IF_ERROR(status_);
  queue_.push_back(std::move(piece));
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status UploadFileWriter::Close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (write_thread_.joinable()) write_thread_.join();
  if (commit_thread_.joinable()) commit_thread_.join();
  return status_;
}

void UploadFileWriter::WriteLoop() {
  absl::Status status;
  std::unique_lock<std::mutex> lock(mutex_);
  while (status_.ok()) {
    // Not further ahead of the disk than a part: what a lost connection costs.
    changed_.wait(lock, [this] {
      const bool room = mark_.written - durable_ < part_bytes_;
      return !status_.ok() || (closed_ && queue_.empty()) || (!queue_.empty() && room);
    });
    if (!status_.ok() || queue_.empty()) break;
    Piece piece = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    changed_.notify_all();
    status = Write(piece.bytes);
    lock.lock();
    if (!status.ok()) break;
    mark_ = {mark_.written + static_cast<int64_t>(piece.bytes.size()), std::move(piece.hash_state)};
    changed_.notify_all();
  }
  if (status_.ok()) status_ = status;
  drained_ = true;  // what was written before an error is good: it is committed
  lock.unlock();
  changed_.notify_all();
}

void UploadFileWriter::CommitLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    // Two commits a part: one is on its way while the next part's bytes are written.
    changed_.wait(lock, [this] { return drained_ || mark_.written - durable_ >= (part_bytes_ + 1) / 2; });
    if (mark_.written == durable_) return;  // and drained
    const Mark mark = mark_;
    lock.unlock();
    const absl::Status status = Commit(mark);
    lock.lock();
    if (!status.ok()) {
      // A failed sync is not tried again: the kernel may have dropped the bytes and forgotten about it, and a second one
      // that succeeds would prove nothing.
      if (status_.ok()) status_ = status;
      lock.unlock();
      changed_.notify_all();
      return;
    }
    durable_ = mark.written;
    writer_.committed = start_ + durable_;
    changed_.notify_all();
  }
}

// The hash goes on from where the last part was committed, on whichever replica; an upload that an older version began
// has no such state, and its bytes are read again.
absl::Status UploadFileWriter::HashEarlierParts() {
  if (hashed_earlier_ || writer_.complete) return absl::OkStatus();
  hashed_earlier_ = true;
  if (hash_.Restore(writer_.hash_state)) return absl::OkStatus();
  for (const StagedPart& part : writer_.parts) {
    const absl::Status read = blobs_->ReadStaged(part, [this](absl::Span<const char> bytes) {
      hash_.Update(bytes.data(), bytes.size());
      return absl::OkStatus();
    });
    if (absl::IsNotFound(read) || absl::IsDataLoss(read)) return Restart(read);
    NS_RETURN_IF_ERROR(read);
  }
  return absl::OkStatus();
}

// The store lost what the database promises (a restored backup, perhaps): only starting over helps.
absl::Status UploadFileWriter::Restart(const absl::Status& why) {
  Log(LogLevel::kError, "staged bytes are gone, the file starts over",
      {{"upload", writer_.upload_id}, {"path", writer_.path}, {"error", std::string(why.message())}});
  NS_RETURN_IF_ERROR(uploads_->ResetUploadFile(writer_));
  return WithMetadata(MakeError(absl::StatusCode::kAborted, "OFFSET_MISMATCH",
                                absl::StrCat("'", writer_.path, "': the bytes stored earlier are gone"),
                                "continue at byte 0"),
                      "committed_size", "0");
}

absl::Status UploadFileWriter::Write(const std::string& bytes) {
  StagedWriter* staged = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    staged = staged_.get();
  }
  if (staged == nullptr) {
    NS_ASSIGN_OR_RETURN(auto created, blobs_->CreateStaged(key_));
    staged = created.get();
    std::lock_guard<std::mutex> lock(mutex_);
    staged_ = std::move(created);
  }
  return staged->Append(absl::MakeConstSpan(bytes.data(), bytes.size()));
}

absl::Status UploadFileWriter::Commit(const Mark& mark) {
  StagedWriter* staged = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    staged = staged_.get();
  }
  NS_RETURN_IF_ERROR(staged->Sync());
  return uploads_->CommitUploadPart(writer_, {key_, mark.written}, start_, mark.hash_state, ttl_us_);
}

absl::Status UploadFileWriter::Finish(const v1::Digest& digest) {
  if (digest.sha256().size() != 32) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_DIGEST", "finish needs the file's SHA-256, 32 bytes");
  }
  if (received_ != writer_.size_bytes) {
    return WithMetadata(
        MakeError(absl::StatusCode::kFailedPrecondition, "FILE_INCOMPLETE",
                  absl::StrCat("'", writer_.path, "' has ", writer_.committed, " of ", writer_.size_bytes, " bytes"),
                  "send the rest before finish"),
        "committed_size", absl::StrCat(writer_.committed));
  }
  NS_RETURN_IF_ERROR(HashEarlierParts());
  const std::string actual = writer_.complete ? writer_.sha256 : hash_.Finish();
  const bool as_declared = writer_.expected_sha256.empty() || writer_.expected_sha256 == actual;
  if (actual != digest.sha256() || !as_declared) {
    const std::string& wanted = as_declared ? digest.sha256() : writer_.expected_sha256;
    if (!writer_.complete) NS_RETURN_IF_ERROR(uploads_->ResetUploadFile(writer_));
    return WithMetadata(MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                                  absl::StrCat("'", writer_.path, "' arrived as sha256:", ToHex(actual), ", not sha256:",
                                               ToHex(wanted)),
                                  "the file changed or was damaged on its way: send it again from byte 0"),
                        "committed_size", writer_.complete ? absl::StrCat(writer_.size_bytes) : "0");
  }
  if (writer_.complete) return absl::OkStatus();
  std::vector<StagedPart> parts = writer_.parts;
  if (durable_ > 0) parts.push_back({key_, durable_});
  const BlobDigest blob{actual, writer_.size_bytes};
  NS_RETURN_IF_ERROR(uploads_->RegisterBlob(blob));  // first: see blob_store.h
  const absl::Status joined = blobs_->CommitStaged(parts, blob);
  if (absl::IsNotFound(joined) || absl::IsDataLoss(joined)) return Restart(joined);
  NS_RETURN_IF_ERROR(joined);
  NS_RETURN_IF_ERROR(uploads_->CompleteUploadFile(writer_, actual, ttl_us_));
  // Another link to the blob, or the pieces it was joined from: what is left here is freed with the upload at the latest.
  for (const StagedPart& part : parts) blobs_->RemoveStaged(part.key).IgnoreError();
  return absl::OkStatus();
}

}  // namespace nashswarm::server
