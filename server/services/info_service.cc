#include "server/services/info_service.h"

#include "core/quant/format.h"
#include "google/protobuf/util/time_util.h"
#include "server/rpc/status.h"
#include "server/services/authenticate.h"
#include "server/services/validate.h"

namespace nashswarm::server {

using google::protobuf::util::TimeUtil;

namespace {

// What the engine's core/model knows. The server may not link it, and the engine has the last word anyway: it refuses
// what it does not know when an upload is completed.
constexpr const char* kArchitectures[] = {"gpt2",        "llama",   "mistral",   "qwen2",     "qwen3",
                                           "gemma3_text", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe"};

}  // namespace

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
  out->set_max_header_bytes(limits.max_header_bytes);
  out->set_max_queued_jobs(limits.max_queued_jobs);
  out->set_max_attempts(limits.max_attempts);
  *out->mutable_upload_ttl() = TimeUtil::MillisecondsToDuration(limits.upload_ttl.count());
  *out->mutable_lease() = TimeUtil::MillisecondsToDuration(limits.lease.count());
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    v1::ServerInfo::Format* format = response->add_formats();
    format->set_name(std::string(info.name));
    format->set_bits_per_weight(info.bits_per_weight());
    format->set_block_weights(static_cast<int32_t>(info.block_weights));
  }
  for (const char* format : kArtifactFormats) response->add_artifact_formats(format);
  for (const char* architecture : kArchitectures) response->add_architectures(architecture);
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
