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

UploadFileWriter::UploadFileWriter(JobStore* jobs, BlobStore* blobs, UploadWriter writer, int64_t part_bytes,
                                   int64_t ttl_us)
    : jobs_(jobs),
      blobs_(blobs),
      writer_(std::move(writer)),
      part_bytes_(part_bytes),
      ttl_us_(ttl_us),
      key_(StagingKey(writer_)),
      received_(writer_.committed),
      start_(writer_.committed) {
  thread_ = std::thread([this] { Loop(); });
}

UploadFileWriter::~UploadFileWriter() { Close().IgnoreError(); }

absl::Status UploadFileWriter::Push(std::string bytes) {
  received_ += static_cast<int64_t>(bytes.size());
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kQueueLength || !status_.ok(); });
  NS_RETURN_IF_ERROR(status_);
  queue_.push_back(std::move(bytes));
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
  if (thread_.joinable()) thread_.join();
  return status_;
}

void UploadFileWriter::Loop() {
  absl::Status status = writer_.complete ? absl::OkStatus() : HashEarlierParts();
  std::unique_lock<std::mutex> lock(mutex_);
  while (status.ok()) {
    changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) break;
    const std::string bytes = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    changed_.notify_all();
    status = Write(bytes);
    lock.lock();
  }
  lock.unlock();
  // What was written before an error is good: keep it.
  if (const absl::Status committed = Commit(); status.ok()) status = committed;
  lock.lock();
  status_ = status;
  lock.unlock();
  changed_.notify_all();
}

absl::Status UploadFileWriter::HashEarlierParts() {
  for (const StagedPart& part : writer_.parts) {
    const absl::Status read = blobs_->ReadStaged(part, [this](absl::Span<const char> bytes) {
      hash_.Update(bytes.data(), bytes.size());
      return absl::OkStatus();
    });
    // The disk lost what the database promises (a restored backup, perhaps): only starting over helps.
    if (absl::IsNotFound(read) || absl::IsDataLoss(read)) return Restart(read);
    NS_RETURN_IF_ERROR(read);
  }
  return absl::OkStatus();
}

absl::Status UploadFileWriter::Restart(const absl::Status& why) {
  Log(LogLevel::kError, "staged bytes are gone, the file starts over",
      {{"upload", writer_.upload_id}, {"path", writer_.path}, {"error", std::string(why.message())}});
  NS_RETURN_IF_ERROR(jobs_->ResetUploadFile(writer_));
  return WithMetadata(MakeError(absl::StatusCode::kAborted, "OFFSET_MISMATCH",
                                absl::StrCat("'", writer_.path, "': the bytes stored earlier are gone"),
                                "continue at byte 0"),
                      "committed_size", "0");
}

absl::Status UploadFileWriter::Write(const std::string& bytes) {
  if (staged_ == nullptr) {
    NS_ASSIGN_OR_RETURN(staged_, blobs_->CreateStaged(key_));
  }
  hash_.Update(bytes);
  NS_RETURN_IF_ERROR(staged_->Append(absl::MakeConstSpan(bytes.data(), bytes.size())));
  written_ += static_cast<int64_t>(bytes.size());
  return written_ - synced_ >= part_bytes_ ? Commit() : absl::OkStatus();
}

absl::Status UploadFileWriter::Commit() {
  if (written_ == synced_) return absl::OkStatus();
  NS_RETURN_IF_ERROR(staged_->Sync());
  const StagedPart part{key_, written_};
  NS_RETURN_IF_ERROR(jobs_->CommitUploadPart(writer_, part, start_, ttl_us_));
  synced_ = written_;
  writer_.committed = start_ + written_;
  return absl::OkStatus();
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
  const std::string actual = writer_.complete ? writer_.sha256 : hash_.Finish();
  const bool as_declared = writer_.expected_sha256.empty() || writer_.expected_sha256 == actual;
  if (actual != digest.sha256() || !as_declared) {
    const std::string& wanted = as_declared ? digest.sha256() : writer_.expected_sha256;
    if (!writer_.complete) NS_RETURN_IF_ERROR(jobs_->ResetUploadFile(writer_));
    return WithMetadata(MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                                  absl::StrCat("'", writer_.path, "' arrived as sha256:", ToHex(actual), ", not sha256:",
                                               ToHex(wanted)),
                                  "the file changed or was damaged on its way: send it again from byte 0"),
                        "committed_size", writer_.complete ? absl::StrCat(writer_.size_bytes) : "0");
  }
  if (writer_.complete) return absl::OkStatus();
  std::vector<StagedPart> parts = writer_.parts;
  if (written_ > 0) parts.push_back({key_, written_});
  const BlobDigest blob{actual, writer_.size_bytes};
  NS_RETURN_IF_ERROR(jobs_->RegisterBlob(blob));  // first: see blob_store.h
  NS_RETURN_IF_ERROR(blobs_->CommitStaged(parts, blob));
  NS_RETURN_IF_ERROR(jobs_->CompleteUploadFile(writer_, actual, ttl_us_));
  // Another link to the blob, or the pieces it was joined from: what is left here is freed with the upload at the latest.
  for (const StagedPart& part : parts) blobs_->RemoveStaged(part.key).IgnoreError();
  return absl::OkStatus();
}

}  // namespace nashswarm::server
