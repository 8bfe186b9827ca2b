#include "server/services/model_service.h"

#include "server/rpc/status.h"
#include "server/services/authenticate.h"
#include "server/services/paging.h"
#include "server/services/validate.h"

namespace nashswarm::server {

grpc::Status ModelService::GetModel(grpc::ServerContext* call, const v1::GetModelRequest* request,
                                    v1::Model* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("models", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  absl::StatusOr<v1::Model> model = models_.GetModel(caller->tenant, *id);
  if (model.ok()) *response = *std::move(model);
  return ToGrpcStatus(model.status());
}

grpc::Status ModelService::ListModels(grpc::ServerContext* call, const v1::ListModelsRequest* request,
                                      v1::ListModelsResponse* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<PageRequest> request_page = ParsePage(request->page_size(), request->page_token());
  if (!request_page.ok()) return ToGrpcStatus(request_page.status());
  absl::StatusOr<Page<v1::Model>> page = models_.ListModels(caller->tenant, *request_page);
  if (!page.ok()) return ToGrpcStatus(page.status());
  for (v1::Model& model : page->items) *response->add_models() = std::move(model);
  response->set_next_page_token(ToToken(page->next));
  return grpc::Status::OK;
}

grpc::Status ModelService::DeleteModel(grpc::ServerContext* call, const v1::DeleteModelRequest* request,
                                       google::protobuf::Empty*) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("models", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  const absl::Status deleted = models_.DeleteModel(caller->tenant, *id);
  if (deleted.ok()) context_.maintenance->CollectSoon();
  return ToGrpcStatus(deleted);
}

}  // namespace nashswarm::server
