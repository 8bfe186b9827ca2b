#include "server/services/artifact_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "core/base/file.h"
#include "core/base/status.h"
#include "server/rpc/status.h"
#include "server/services/authenticate.h"
#include "server/services/paging.h"
#include "server/services/read_ahead.h"
#include "server/services/validate.h"
#include "server/store/blob_loss.h"

namespace nashswarm::server {
namespace {

// Large enough that per-message costs vanish, small enough for a client's default limits.
constexpr int64_t kReadChunkBytes = 1 << 20;

constexpr char kTooSlow[] = "DOWNLOAD_TOO_SLOW";
constexpr char kTooSlowMessage[] = "the client did not take the bytes it asked for; go on with read_offset";

absl::Status PastEnd(const std::string& path, int64_t offset, int64_t size) {
  return MakeError(absl::StatusCode::kOutOfRange, "RANGE_PAST_END",
                   absl::StrCat("'", path, "' has ", size, " bytes; the range starts at ", offset));
}

// Every message of a download goes through here: a client that takes none, not even a small one, is not waited for.
class PacedWriter {
 public:
  PacedWriter(StreamWatchdog::Watch* pace, grpc::ServerWriter<v1::ReadFileResponse>* writer) : pace_(*pace), writer_(*writer) {}
  // DEADLINE_EXCEEDED / DOWNLOAD_TOO_SLOW, CANCELLED / CALL_CANCELLED.
  absl::Status Write(const v1::ReadFileResponse& message) {
    pace_.WaitBegins();
    const bool written = writer_.Write(message);
    pace_.WaitEnds(static_cast<int64_t>(message.data().size()));
    if (written) return absl::OkStatus();
    if (pace_.cancelled()) return MakeError(absl::StatusCode::kDeadlineExceeded, kTooSlow, kTooSlowMessage);
    return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the client has gone");
  }

 private:
  StreamWatchdog::Watch& pace_;
  grpc::ServerWriter<v1::ReadFileResponse>& writer_;
};

// Nothing may be silent for long: clients give up on what is.
constexpr std::chrono::seconds kSignOfLife{10};

// For content that takes its time to be verified: tells whoever waits, and stops with the call.
class SignsOfLife {
 public:
  // `empty`: what to send.
  SignsOfLife(grpc::ServerContext* call, PacedWriter* writer, v1::ReadFileResponse empty)
      : call_(call), writer_(writer), empty_(std::move(empty)) {}
  absl::Status Tell() {
    if (call_->IsCancelled()) return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the call was cancelled");
    if (std::chrono::steady_clock::now() - last_ < kSignOfLife) return absl::OkStatus();
    NS_RETURN_IF_ERROR(writer_->Write(empty_));
    last_ = std::chrono::steady_clock::now();
    return absl::OkStatus();
  }

 private:
  grpc::ServerContext* const call_;
  PacedWriter* const writer_;
  const v1::ReadFileResponse empty_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// A part is verified with all the rest first; the whole, as it is read.
absl::StatusOr<std::unique_ptr<BlobReader>> OpenToSend(BlobStore& blobs, const BlobDigest& digest, bool part,
                                                       SignsOfLife& signs) {
  const Between tell = [&signs] { return signs.Tell(); };
  if (part) NS_RETURN_IF_ERROR(blobs.Verify(digest, tell));
  NS_ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, blobs.Open(digest.sha256));
  if (reader->size() == digest.size_bytes) return reader;
  NS_RETURN_IF_ERROR(blobs.Verify(digest, tell));  // which sets it aside
  return blobs.Open(digest.sha256);                // or somebody has just put the right one there
}

}  // namespace

grpc::Status ArtifactService::GetArtifact(grpc::ServerContext* call, const v1::GetArtifactRequest* request,
                                          v1::Artifact* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("artifacts", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  absl::StatusOr<v1::Artifact> artifact = models_.GetArtifact(caller->tenant, *id);
  if (artifact.ok()) *response = *std::move(artifact);
  return ToGrpcStatus(artifact.status());
}

grpc::Status ArtifactService::ListArtifacts(grpc::ServerContext* call, const v1::ListArtifactsRequest* request,
                                            v1::ListArtifactsResponse* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<PageRequest> request_page = ParsePage(request->page_size(), request->page_token());
  if (!request_page.ok()) return ToGrpcStatus(request_page.status());
  absl::StatusOr<Page<v1::Artifact>> page = models_.ListArtifacts(caller->tenant, *request_page);
  if (!page.ok()) return ToGrpcStatus(page.status());
  for (v1::Artifact& artifact : page->items) *response->add_artifacts() = std::move(artifact);
  response->set_next_page_token(ToToken(page->next));
  return grpc::Status::OK;
}

grpc::Status ArtifactService::DeleteArtifact(grpc::ServerContext* call, const v1::DeleteArtifactRequest* request,
                                             google::protobuf::Empty*) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("artifacts", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  const absl::Status deleted = models_.DeleteArtifact(caller->tenant, *id);
  if (deleted.ok()) context_.maintenance->CollectSoon();
  return ToGrpcStatus(deleted);
}

absl::Status ArtifactService::Send(const Caller& caller, grpc::ServerContext* call, const v1::ReadFileRequest& request,
                                   grpc::ServerWriter<v1::ReadFileResponse>* stream) {
  const StreamSlot slot(context_, caller.tenant);
  NS_RETURN_IF_ERROR(slot.status());
  StreamWatchdog::Watch pace(context_.watchdog, {.idle = context_.limits.download_idle_timeout},
                             [call] { CancelTooSlow(call, kTooSlow, kTooSlowMessage); });
  PacedWriter writer(&pace, stream);
  const std::string collection = request.name().starts_with("models/") ? "models" : "artifacts";
  NS_RETURN_IF_ERROR(ParseName(collection, request.name()).status());
  NS_RETURN_IF_ERROR(ValidateRelativePath(request.path()));
  if (request.read_offset() < 0 || request.read_limit() < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_RANGE", "read_offset and read_limit cannot be negative");
  }
  NS_ASSIGN_OR_RETURN(const BlobDigest digest, models_.FindFile(caller.tenant, request.name(), request.path()));
  const int64_t begin = request.read_offset();
  if (begin > digest.size_bytes) return PastEnd(request.path(), begin, digest.size_bytes);
  const int64_t rest = digest.size_bytes - begin;
  const int64_t end = begin + (request.read_limit() == 0 ? rest : std::min(rest, request.read_limit()));
  const auto explain = [&](const absl::Status& status) {
    return ExplainBlobLoss(status, digest.sha256, absl::StrCat("'", request.path(), "' of ", request.name()),
                           collection == "models" ? "push the model again" : "submit the job again: it makes the same bytes");
  };
  v1::ReadFileResponse message;
  message.mutable_digest()->set_sha256(digest.sha256);
  message.mutable_digest()->set_size_bytes(digest.size_bytes);
  SignsOfLife signs(call, &writer, message);
  const auto reader = OpenToSend(*context_.blobs, digest, begin > 0 || end < digest.size_bytes, signs);
  NS_RETURN_IF_ERROR(explain(reader.status()));
  if (begin == end) return writer.Write(message);  // an empty range still tells the digest
  ReadAhead ahead(reader->get(), begin, end, kReadChunkBytes);
  ReadAhead::Chunk chunk;
  for (int64_t offset = begin; offset < end; offset += static_cast<int64_t>(message.data().size())) {
    if (call->IsCancelled()) return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the call was cancelled");
    message.mutable_data()->swap(chunk.data);  // back to where it is used again
    NS_RETURN_IF_ERROR(explain(ahead.Next(&chunk)));
    message.mutable_data()->swap(chunk.data);
    message.set_crc32c(chunk.crc32c);
    NS_RETURN_IF_ERROR(writer.Write(message));
    context_.metrics->BytesDownloaded(static_cast<int64_t>(message.data().size()));
    message.clear_digest();
  }
  return absl::OkStatus();
}

grpc::Status ArtifactService::ReadFile(grpc::ServerContext* call, const v1::ReadFileRequest* request,
                                       grpc::ServerWriter<v1::ReadFileResponse>* writer) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return ToGrpcStatus(Send(*caller, call, *request, writer));
}

}  // namespace nashswarm::server
