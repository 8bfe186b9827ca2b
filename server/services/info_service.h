// nashswarm.v1.InfoService.
#ifndef NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"

namespace nashswarm::server {

class InfoService : public v1::InfoService::Service {
 public:
  explicit InfoService(const ServiceContext* context) : context_(*context) {}

  grpc::Status GetServerInfo(grpc::ServerContext* call, const v1::GetServerInfoRequest* request,
                             v1::ServerInfo* response) override;

 private:
  const ServiceContext& context_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_
