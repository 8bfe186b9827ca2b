// nashswarm.v1.UploadService. Handlers convert and delegate; bytes go through UploadFileWriter.
#ifndef NASHSWARM_SERVER_SERVICES_UPLOAD_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_UPLOAD_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"
#include "server/services/upload_stream.h"
#include "server/store/upload_store.h"

namespace nashswarm::server {

class UploadService : public v1::UploadService::WithCallbackMethod_WriteFile<v1::UploadService::Service> {
 public:
  // Both outlive it.
  UploadService(const ServiceContext* context, UploadStore* uploads) : context_(*context), uploads_(*uploads) {}

  grpc::Status CreateUpload(grpc::ServerContext* call, const v1::CreateUploadRequest* request,
                            v1::Upload* response) override;
  grpc::Status GetUpload(grpc::ServerContext* call, const v1::GetUploadRequest* request, v1::Upload* response) override;
  grpc::ServerReadReactor<v1::WriteFileRequest>* WriteFile(grpc::CallbackServerContext* call,
                                                           v1::WriteFileResponse* response) override;
  grpc::Status CompleteUpload(grpc::ServerContext* call, const v1::CompleteUploadRequest* request,
                              v1::Model* response) override;
  grpc::Status AbortUpload(grpc::ServerContext* call, const v1::AbortUploadRequest* request,
                           google::protobuf::Empty* response) override;

 private:
  absl::StatusOr<v1::Upload> Create(const Caller& caller, grpc::ServerContext* call, v1::CreateUploadRequest request);
  absl::Status Receive(const Caller& caller, grpc::CallbackServerContext* call, UploadStream* stream,
                       v1::WriteFileResponse* response);
  absl::StatusOr<v1::Model> Complete(const Caller& caller, grpc::ServerContext* call, const std::string& id);
  absl::StatusOr<std::string> ChooseModelId(const Caller& caller, const UploadIntent& intent,
                                            const BlobDigest& manifest);
  // FAILED_PRECONDITION / UPLOAD_INCOMPLETE when the content of a file is lost, which is then to be sent again.
  absl::Status CheckContent(grpc::ServerContext* call, const std::string& upload_id, const std::vector<ModelFile>& files);
  // The engine's word on the files, and what it says about them into `model`.
  absl::Status ValidateCheckpoint(grpc::ServerContext* call, const std::string& upload_id,
                                  const std::vector<ModelFile>& files, NewModel* model);

  const ServiceContext& context_;
  UploadStore& uploads_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_UPLOAD_SERVICE_H_
