// nashswarm.v1.ModelService.
#ifndef NASHSWARM_SERVER_SERVICES_MODEL_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_MODEL_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"
#include "server/store/model_store.h"

namespace nashswarm::server {

class ModelService : public v1::ModelService::Service {
 public:
  // Both outlive it.
  ModelService(const ServiceContext* context, ModelStore* models) : context_(*context), models_(*models) {}

  grpc::Status GetModel(grpc::ServerContext* call, const v1::GetModelRequest* request, v1::Model* response) override;
  grpc::Status ListModels(grpc::ServerContext* call, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;
  grpc::Status DeleteModel(grpc::ServerContext* call, const v1::DeleteModelRequest* request,
                           google::protobuf::Empty* response) override;

 private:
  const ServiceContext& context_;
  ModelStore& models_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_MODEL_SERVICE_H_
