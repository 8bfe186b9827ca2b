#include "server/services/info_service.h"

#include "google/protobuf/util/time_util.h"
#include "server/rpc/status.h"
#include "server/services/authenticate.h"
#include "server/services/validate.h"

namespace nashswarm::server {

using google::protobuf::util::TimeUtil;

grpc::Status InfoService::GetServerInfo(grpc::ServerContext* call, const v1::GetServerInfoRequest*,
                                        v1::ServerInfo* response) {
  const absl::StatusOr<Caller> caller = Authenticate(context_, call);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  response->set_version(context_.version);
  const Limits& limits = context_.limits;
  v1::ServerInfo::Limits* out = response->mutable_limits();
  out->set_max_chunk_bytes(limits.max_chunk_bytes);
  out->set_max_file_bytes(limits.max_file_bytes);
  out->set_max_upload_bytes(limits.max_upload_bytes);
  out->set_max_files_per_upload(limits.max_files_per_upload);
  out->set_max_header_bytes(context_.engine.max_header_bytes);
  out->set_max_queued_jobs(limits.max_queued_jobs);
  out->set_max_attempts(limits.max_attempts);
  *out->mutable_upload_ttl() = TimeUtil::MillisecondsToDuration(limits.upload_ttl.count());
  *out->mutable_lease() = TimeUtil::MillisecondsToDuration(limits.lease.count());
  for (const EngineDescription::NumberFormat& known : context_.engine.number_formats) {
    v1::ServerInfo::Format* format = response->add_formats();
    format->set_name(known.name);
    format->set_bits_per_weight(known.bits_per_weight);
    format->set_block_weights(known.block_weights);
  }
  for (const std::string& kind : context_.engine.artifact_kinds) response->add_artifact_formats(kind);
  for (const std::string& architecture : context_.engine.architectures) response->add_architectures(architecture);
  response->set_workers(context_.workers);
  const absl::StatusOr<StoreStatistics> statistics = jobs_.Statistics();
  if (!statistics.ok()) return ToGrpcStatus(statistics.status());
  for (const auto& [state, count] : statistics->jobs) {
    if (state == v1::Job::QUEUED) response->set_jobs_queued(count);
    if (state == v1::Job::RUNNING) response->set_jobs_running(count);
  }
  return grpc::Status::OK;
}

}  // namespace nashswarm::server
