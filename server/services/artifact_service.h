// nashswarm.v1.ArtifactService.
#ifndef NASHSWARM_SERVER_SERVICES_ARTIFACT_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_ARTIFACT_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"
#include "server/store/model_store.h"

namespace nashswarm::server {

class ArtifactService : public v1::ArtifactService::Service {
 public:
  // Both outlive it.
  ArtifactService(const ServiceContext* context, ModelStore* models) : context_(*context), models_(*models) {}

  grpc::Status GetArtifact(grpc::ServerContext* call, const v1::GetArtifactRequest* request,
                           v1::Artifact* response) override;
  grpc::Status ListArtifacts(grpc::ServerContext* call, const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override;
  grpc::Status DeleteArtifact(grpc::ServerContext* call, const v1::DeleteArtifactRequest* request,
                              google::protobuf::Empty* response) override;
  grpc::Status ReadFile(grpc::ServerContext* call, const v1::ReadFileRequest* request,
                        grpc::ServerWriter<v1::ReadFileResponse>* writer) override;

 private:
  absl::Status Send(const Caller& caller, grpc::ServerContext* call, const v1::ReadFileRequest& request,
                    grpc::ServerWriter<v1::ReadFileResponse>* stream);

  const ServiceContext& context_;
  ModelStore& models_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_ARTIFACT_SERVICE_H_
