#include "server/services/job_service.h"

#include "absl/strings/ascii.h"
#include "core/base/status.h"
#include "core/base/utf8.h"
#include "google/protobuf/util/time_util.h"
#include "server/log/log.h"
#include "server/rpc/status.h"
#include "server/rpc/trace_context.h"
#include "server/services/authenticate.h"
#include "server/services/job_watch.h"
#include "server/services/paging.h"
#include "server/services/validate.h"
#include "server/stages/flow.h"
#include "server/stages/needs.h"

namespace nashswarm::server {
namespace {

using google::protobuf::util::TimeUtil;

grpc::Status Respond(absl::StatusOr<v1::Job> job, v1::Job* response) {
  if (job.ok()) *response = *std::move(job);
  return ToGrpcStatus(job.status());
}

}  // namespace

absl::StatusOr<v1::Job> JobService::Create(const Caller& caller, const std::string& traceparent,
                                           v1::CreateJobRequest request) {
  request.set_request_id(absl::AsciiStrToLower(request.request_id()));  // a UUID is the same in either case
  JobStore::NewJob job;
  job.tenant = caller.tenant;
  NS_ASSIGN_OR_RETURN(job.model_id, ParseName("models", request.model()));
  job.spec = request.spec();
  NS_RETURN_IF_ERROR(ValidateSpec(context_.engine, &job.spec));
  NS_RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  NS_RETURN_IF_ERROR(ValidateLabels(request.labels()));
  if (request.has_priority()) job.priority = request.priority();
  NS_RETURN_IF_ERROR(ValidatePriority(job.priority));
  job.request_id = request.request_id();
  job.request_digest = RequestDigest(request);
  job.labels = ToLabels(request.labels());
  job.traceparent = traceparent;
  job.max_attempts = context_.limits.max_attempts;
  job.max_queued_jobs = context_.limits.max_queued_jobs;
  const TenantQuota quota = context_.access->QuotaOf(caller.tenant);
  job.max_tenant_queued_jobs = quota.max_queued_jobs;
  job.max_stored_bytes = quota.max_stored_bytes;
  if (context_.room != nullptr) job.room_bytes = context_.room->Left();
  job.first_task = FirstTask();
  // A model that is not there is CreateJob's to report.
  if (const auto model = models_.GetModel(job.tenant, job.model_id); model.ok()) {
    const auto label = model->labels().find(kNameLabel);
    if (job.spec.model_name().empty() && label != model->labels().end()) job.spec.set_model_name(ModelNameOfLabel(label->second));
    const Need need = NeedOfPrepare({model->weight_bytes(), model->total_bytes()});
    job.first_task.need_memory_bytes = need.memory_bytes;
    job.first_task.need_disk_bytes = need.disk_bytes;
  }
  NS_ASSIGN_OR_RETURN(v1::Job created, jobs_.CreateJob(job));
  std::vector<LogField> fields = {{"job", created.name()}, {"model", created.model()}};
  if (!created.traceparent().empty()) fields.emplace_back("trace_id", TraceId(created.traceparent()));
  Log(LogLevel::kInfo, "job created", fields);
  context_.hub->WorkAvailable();
  return created;
}

grpc::Status JobService::CreateJob(grpc::ServerContext* call, const v1::CreateJobRequest* request, v1::Job* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return Respond(Create(*caller, TraceparentOf(*call), *request), response);
}

grpc::Status JobService::GetJob(grpc::ServerContext* call, const v1::GetJobRequest* request, v1::Job* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("jobs", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  return Respond(jobs_.GetJob(caller->tenant, *id), response);
}

grpc::Status JobService::ListJobs(grpc::ServerContext* call, const v1::ListJobsRequest* request,
                                  v1::ListJobsResponse* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<PageRequest> request_page = ParsePage(request->page_size(), request->page_token());
  if (!request_page.ok()) return ToGrpcStatus(request_page.status());
  if (!v1::Job::State_IsValid(request->state())) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kInvalidArgument, "BAD_STATE",
                                  absl::StrCat("there is no job state ", static_cast<int>(request->state()))));
  }
  absl::StatusOr<Page<v1::Job>> page = jobs_.ListJobs(caller->tenant, *request_page, request->state());
  if (!page.ok()) return ToGrpcStatus(page.status());
  for (v1::Job& job : page->items) *response->add_jobs() = std::move(job);
  response->set_next_page_token(ToToken(page->next));
  return grpc::Status::OK;
}

absl::StatusOr<v1::Job> JobService::Cancel(const Caller& caller, const std::string& name) {
  NS_ASSIGN_OR_RETURN(const std::string id, ParseName("jobs", name));
  NS_ASSIGN_OR_RETURN(const v1::Job before, jobs_.GetJob(caller.tenant, id));
  NS_ASSIGN_OR_RETURN(v1::Job job, jobs_.CancelJob(caller.tenant, id));
  context_.hub->WakeRunning();  // the worker looks, and kills the engine
  context_.hub->JobChanged(id);
  if (job.has_end_time() && !before.has_end_time()) {  // a job at work ends with its last task
    context_.metrics->JobEnded(v1::Job::State_Name(job.state()), static_cast<double>(TimeUtil::DurationToMicroseconds(job.end_time() - job.create_time())) / 1e6);
  }
  return job;
}

grpc::Status JobService::CancelJob(grpc::ServerContext* call, const v1::CancelJobRequest* request, v1::Job* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return Respond(Cancel(*caller, request->name()), response);
}

grpc::Status JobService::RetryJob(grpc::ServerContext* call, const v1::RetryJobRequest* request, v1::Job* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("jobs", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  absl::StatusOr<v1::Job> job = jobs_.RetryJob(caller->tenant, *id);
  if (job.ok()) {
    context_.hub->JobChanged(*id);
    context_.hub->WorkAvailable();
  }
  return Respond(std::move(job), response);
}

grpc::Status JobService::DeleteJob(grpc::ServerContext* call, const v1::DeleteJobRequest* request,
                                   google::protobuf::Empty*) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("jobs", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  const absl::Status deleted = jobs_.DeleteJob(caller->tenant, *id);
  if (deleted.ok()) {
    context_.hub->JobChanged(*id);
    context_.maintenance->CollectSoon();
  }
  return ToGrpcStatus(deleted);
}

grpc::Status JobService::WatchJob(grpc::ServerContext* call, const v1::WatchJobRequest* request,
                                  grpc::ServerWriter<v1::JobEvent>* writer) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<std::string> id = ParseName("jobs", request->name());
  if (!id.ok()) return ToGrpcStatus(id.status());
  const StreamSlot slot(context_, caller->tenant);
  if (!slot.status().ok()) return ToGrpcStatus(slot.status());
  StreamWatchdog::Watch pace(context_.watchdog, {.idle = context_.limits.download_idle_timeout},
                             [call] { CancelTooSlow(call, "DOWNLOAD_TOO_SLOW", "the watcher does not read"); });
  JobWatch watch(&jobs_, context_.hub, context_.limits.keepalive, caller->tenant, *id,
                 request->after_sequence());
  const auto write = [&](const v1::JobEvent& event) {
    pace.WaitBegins();
    const bool written = writer->Write(event);
    pace.WaitEnds(0);
    return written;
  };
  return ToGrpcStatus(watch.Run(write, [&] { return call->IsCancelled(); }));
}

}  // namespace nashswarm::server
