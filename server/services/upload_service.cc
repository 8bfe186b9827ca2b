#include "server/services/upload_service.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/log/log.h"
#include "server/rpc/crc32c.h"
#include "server/rpc/status.h"
#include "server/services/authenticate.h"
#include "server/services/manifest.h"
#include "server/services/upload_file_writer.h"
#include "server/services/validate.h"
#include "server/store/ids.h"

namespace nashswarm::server {
namespace {

int64_t Micros(std::chrono::milliseconds duration) { return std::chrono::microseconds(duration).count(); }

absl::Status Invalid(const char* reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status TooSlow() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "UPLOAD_TOO_SLOW", "the upload sent too little for too long",
                   "what has arrived is kept: go on from committed_size");
}

absl::Status CheckChunk(const v1::WriteFileRequest::Chunk& chunk, const Limits& limits, int64_t offset,
                        int64_t file_size) {
  const int64_t size = static_cast<int64_t>(chunk.data().size());
  if (size > limits.max_chunk_bytes) {
    return Invalid("CHUNK_TOO_LARGE", absl::StrCat("a chunk of ", size, " bytes; at most ", limits.max_chunk_bytes,
                                                   " are allowed"));
  }
  if (size > file_size - offset) {
    return Invalid("FILE_TOO_LONG", absl::StrCat("more bytes than the ", file_size, " declared in CreateUpload"));
  }
  if (Crc32c(chunk.data()) != chunk.crc32c()) {
    return MakeError(absl::StatusCode::kDataLoss, "CHUNK_CORRUPT",
                     absl::StrCat("the chunk at byte ", offset, " does not match its crc32c"),
                     "continue from committed_size; if it happens again, check the network and the client's memory");
  }
  return absl::OkStatus();
}

// The size may be left out: it was declared in CreateUpload.
absl::Status CheckFinish(const v1::Digest& finish, const UploadWriter& file) {
  if (finish.size_bytes() == 0 || finish.size_bytes() == file.size_bytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_SIZE",
                   absl::StrCat("finish says that '", file.path, "' has ", finish.size_bytes(), " bytes, CreateUpload said ",
                                file.size_bytes),
                   "leave finish.size_bytes out, or send the size that was declared");
}

// Whether the content is there, verified; false where it is damaged or gone.
absl::StatusOr<bool> IsWhole(const ServiceContext& context, grpc::ServerContext* call, const BlobDigest& digest) {
  const absl::Status status = context.blobs->Verify(digest, [call] {
    if (!call->IsCancelled()) return absl::OkStatus();
    return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the call was cancelled");
  });
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) return false;
  NS_RETURN_IF_ERROR(status);
  return true;
}

}  // namespace

absl::StatusOr<v1::Upload> UploadService::Create(const Caller& caller, grpc::ServerContext* call,
                                                 v1::CreateUploadRequest request) {
  request.set_request_id(absl::AsciiStrToLower(request.request_id()));  // a UUID is the same in either case
  NS_RETURN_IF_ERROR(ValidateModelId(request.model_id()));
  NS_RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  NS_RETURN_IF_ERROR(ValidateLabels(request.labels()));
  NS_RETURN_IF_ERROR(ValidateUploadFiles(request, context_.limits));
  NewUpload upload;
  upload.tenant = caller.tenant;
  upload.max_stored_bytes = context_.access->QuotaOf(caller.tenant).max_stored_bytes;
  NS_ASSIGN_OR_RETURN(upload.kind, ValidateUploadKind(request));
  upload.model_id = request.model_id();
  upload.request_id = request.request_id();
  upload.request_digest = RequestDigest(request);
  upload.labels = ToLabels(request.labels());
  upload.ttl_us = Micros(context_.limits.upload_ttl);
  if (context_.room != nullptr) upload.room_bytes = context_.room->Left();
  for (const v1::FileEntry& entry : request.files()) {
    NewUploadFile file{entry.path(), entry.digest().size_bytes(), entry.digest().sha256()};
    if (!file.expected_sha256.empty()) {
      NS_ASSIGN_OR_RETURN(const std::optional<int64_t> known,
                          uploads_.TouchOwnBlob(upload.tenant, file.expected_sha256));
      if (known.has_value() && *known == file.size_bytes) {
        NS_ASSIGN_OR_RETURN(file.stored, IsWhole(context_, call, {file.expected_sha256, file.size_bytes}));
        file.lost = !file.stored;
      }
    }
    upload.files.push_back(std::move(file));
  }
  return uploads_.CreateUpload(upload);
}

grpc::Status UploadService::CreateUpload(grpc::ServerContext* call, const v1::CreateUploadRequest* request,
                                         v1::Upload* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  absl::StatusOr<v1::Upload> upload = Create(*caller, call, *request);
  if (upload.ok()) *response = *std::move(upload);
  return ToGrpcStatus(upload.status());
}

grpc::Status UploadService::GetUpload(grpc::ServerContext* call, const v1::GetUploadRequest* request,
                                      v1::Upload* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("uploads", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  absl::StatusOr<v1::Upload> upload = uploads_.GetUpload(caller->tenant, *id);
  if (upload.ok()) *response = *std::move(upload);
  return ToGrpcStatus(upload.status());
}

absl::Status UploadService::Receive(const Caller& caller, grpc::CallbackServerContext* call, UploadStream* stream,
                                    v1::WriteFileResponse* response) {
  v1::WriteFileRequest message;
  if (!stream->Read(&message) || !message.has_header()) {
    if (stream->too_slow()) return TooSlow();
    return Invalid("NO_HEADER", "the first message of WriteFile must be the header");
  }
  NS_ASSIGN_OR_RETURN(const std::string id, ParseName("uploads", message.header().upload()));
  NS_ASSIGN_OR_RETURN(const UploadWriter opened,
                      uploads_.OpenUploadFile(caller.tenant, id, message.header().path(),
                                                    message.header().write_offset()));
  if (context_.room != nullptr) {
    NS_RETURN_IF_ERROR(context_.room->Check(absl::StrCat("the rest of '", opened.path, "'"), opened.size_bytes - opened.committed));
  }
  Log(LogLevel::kDebug, "receiving",
      {{"upload", id}, {"path", opened.path}, {"offset", opened.committed}, {"peer", call->peer()}});
  UploadFileWriter writer(&uploads_, context_.blobs, opened, context_.limits.upload_part_bytes,
                          Micros(context_.limits.upload_ttl));
  while (stream->Read(&message)) {
    if (message.has_chunk()) {
      NS_RETURN_IF_ERROR(CheckChunk(message.chunk(), context_.limits, writer.received(), opened.size_bytes));
      context_.metrics->BytesUploaded(static_cast<int64_t>(message.chunk().data().size()));
      if (message.chunk().data().empty()) continue;
      NS_RETURN_IF_ERROR(writer.Push(std::move(*message.mutable_chunk()->mutable_data())));
    } else if (message.has_finish()) {
      NS_RETURN_IF_ERROR(writer.Close());
      NS_RETURN_IF_ERROR(CheckFinish(message.finish(), opened));
      NS_RETURN_IF_ERROR(writer.Finish(message.finish()));
      response->set_committed_size(opened.size_bytes);
      response->set_complete(true);
      return absl::OkStatus();
    } else {
      return Invalid("UNEXPECTED_MESSAGE", "after the header only chunks and one finish may follow");
    }
  }
  NS_RETURN_IF_ERROR(writer.Close());  // what arrived is durable, whatever became of the client
  if (stream->too_slow()) return TooSlow();
  if (call->IsCancelled()) return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the call was cancelled");
  response->set_committed_size(writer.committed());
  response->set_complete(opened.complete);
  return absl::OkStatus();
}

grpc::ServerReadReactor<v1::WriteFileRequest>* UploadService::WriteFile(grpc::CallbackServerContext* call,
                                                                        v1::WriteFileResponse* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return UploadStream::Refuse(caller.status());
  auto slot = std::make_shared<StreamSlot>(context_, caller->tenant);
  if (!slot->status().ok()) return UploadStream::Refuse(slot->status());
  const PaceLimits limits{.idle = context_.limits.upload_idle_timeout,
                          .min_bytes_per_second = context_.limits.min_upload_rate};
  return UploadStream::Start(limits, [this, caller = *caller, slot = std::move(slot), call, response](UploadStream* stream) {
    return Receive(caller, call, stream, response);
  });
}

absl::StatusOr<std::string> UploadService::ChooseModelId(const Caller& caller, const UploadIntent& intent,
                                                         const BlobDigest& manifest) {
  if (!intent.model_id.empty()) return intent.model_id;
  // Without a name the same content is the same model.
  NS_ASSIGN_OR_RETURN(const std::optional<v1::Model> same,
                      uploads_.FindModelByManifest(caller.tenant, manifest.sha256, intent.kind));
  if (same.has_value()) return IdOf(same->name());
  return absl::StrCat(intent.kind == v1::Model::DATA ? "d-" : "m-", ToHex(manifest.sha256).substr(0, 16));
}

absl::Status UploadService::ValidateCheckpoint(grpc::ServerContext* call, const std::string& upload_id,
                                               const std::vector<ModelFile>& files, NewModel* model) {
  NS_ASSIGN_OR_RETURN(const int64_t now_us, uploads_.NowMicros());
  NS_ASSIGN_OR_RETURN(const Json result,
                      context_.runner->Validate(absl::StrCat("validate-", upload_id, "-", NewId(now_us)), files,
                                                [call] { return call->IsCancelled(); }));
  model->architecture = JsonString(result, "architecture");
  model->parameter_count = JsonInt(result, "parameters", 0);
  model->tensor_count = JsonInt(result, "tensors", 0);
  model->weight_bytes = JsonInt(result, "weight_bytes", 0);
  return absl::OkStatus();
}

// Content may be lost after it was found or received: then the file is asked for again.
absl::Status UploadService::CheckContent(grpc::ServerContext* call, const std::string& upload_id,
                                         const std::vector<ModelFile>& files) {
  absl::Status first;
  for (const ModelFile& file : files) {
    NS_ASSIGN_OR_RETURN(const bool whole, IsWhole(context_, call, file.digest));
    if (whole) continue;
    NS_RETURN_IF_ERROR(uploads_.ReopenUploadFile(upload_id, file.path));
    if (!first.ok()) continue;
    first = MakeError(absl::StatusCode::kFailedPrecondition, "UPLOAD_INCOMPLETE",
                      absl::StrCat("'", file.path, "': what the server had stored of it is damaged or gone"),
                      "send the file again");
  }
  return first;
}

absl::StatusOr<v1::Model> UploadService::Complete(const Caller& caller, grpc::ServerContext* call,
                                                  const std::string& id) {
  NS_ASSIGN_OR_RETURN(const v1::Upload upload, uploads_.GetUpload(caller.tenant, id));
  NewModel model;
  const bool whole =
      std::all_of(upload.files().begin(), upload.files().end(), [](const auto& f) { return f.complete(); });
  // The store refuses what cannot be published; there is no point in parsing it first.
  if (upload.state() != v1::Upload::ACTIVE || !whole) return uploads_.PublishModel(caller.tenant, id, model);

  std::vector<ModelFile> files;
  for (const v1::Upload::File& file : upload.files()) {
    files.push_back({file.entry().path(), {file.entry().digest().sha256(), file.entry().digest().size_bytes()}});
  }
  NS_RETURN_IF_ERROR(CheckContent(call, id, files));
  model.manifest = ManifestDigest(files);
  NS_ASSIGN_OR_RETURN(const UploadIntent intent, uploads_.GetUploadIntent(caller.tenant, id));
  model.kind = intent.kind;
  NS_ASSIGN_OR_RETURN(model.id, ChooseModelId(caller, intent, model.manifest));
  // What a data file holds is for the job that reads it to judge: it alone knows what it wants.
  if (model.kind == v1::Model::CHECKPOINT) NS_RETURN_IF_ERROR(ValidateCheckpoint(call, id, files, &model));
  return uploads_.PublishModel(caller.tenant, id, model);
}

grpc::Status UploadService::CompleteUpload(grpc::ServerContext* call, const v1::CompleteUploadRequest* request,
                                           v1::Model* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("uploads", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  absl::StatusOr<v1::Model> model = Complete(*caller, call, *id);
  if (model.ok()) *response = *std::move(model);
  return ToGrpcStatus(model.status());
}

grpc::Status UploadService::AbortUpload(grpc::ServerContext* call, const v1::AbortUploadRequest* request,
                                        google::protobuf::Empty*) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("uploads", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  const absl::Status aborted = uploads_.AbortUpload(caller->tenant, *id);
  if (!aborted.ok()) return ToGrpcStatus(aborted);
  if (const absl::Status removed = context_.blobs->RemoveStaged(*id); !removed.ok()) {
    Log(LogLevel::kWarning, "staged bytes stay until the next collection",
        {{"upload", *id}, {"error", std::string(removed.message())}});
  }
  context_.maintenance->CollectSoon();
  return grpc::Status::OK;
}

}  // namespace nashswarm::server
