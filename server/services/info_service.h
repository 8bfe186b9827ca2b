// nashswarm.v1.InfoService.
#ifndef NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"
#include "server/store/job_store.h"

namespace nashswarm::server {

class InfoService : public v1::InfoService::Service {
 public:
  // Both outlive it.
  InfoService(const ServiceContext* context, JobStore* jobs) : context_(*context), jobs_(*jobs) {}

  grpc::Status GetServerInfo(grpc::ServerContext* call, const v1::GetServerInfoRequest* request,
                             v1::ServerInfo* response) override;

 private:
  const ServiceContext& context_;
  JobStore& jobs_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_INFO_SERVICE_H_
