// nashswarm.v1.JobService.
#ifndef NASHSWARM_SERVER_SERVICES_JOB_SERVICE_H_
#define NASHSWARM_SERVER_SERVICES_JOB_SERVICE_H_

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/context.h"
#include "server/store/job_store.h"
#include "server/store/model_store.h"

namespace nashswarm::server {

class JobService : public v1::JobService::Service {
 public:
  // All outlive it.
  JobService(const ServiceContext* context, JobStore* jobs, ModelStore* models)
      : context_(*context), jobs_(*jobs), models_(*models) {}

  grpc::Status CreateJob(grpc::ServerContext* call, const v1::CreateJobRequest* request, v1::Job* response) override;
  grpc::Status GetJob(grpc::ServerContext* call, const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext* call, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* call, const v1::CancelJobRequest* request, v1::Job* response) override;
  grpc::Status RetryJob(grpc::ServerContext* call, const v1::RetryJobRequest* request, v1::Job* response) override;
  grpc::Status DeleteJob(grpc::ServerContext* call, const v1::DeleteJobRequest* request,
                         google::protobuf::Empty* response) override;
  grpc::Status WatchJob(grpc::ServerContext* call, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override;

 private:
  absl::StatusOr<v1::Job> Create(const Caller& caller, const std::string& traceparent,
                                 v1::CreateJobRequest request);
  absl::StatusOr<v1::Job> Cancel(const Caller& caller, const std::string& name);

  const ServiceContext& context_;
  JobStore& jobs_;
  ModelStore& models_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_JOB_SERVICE_H_
