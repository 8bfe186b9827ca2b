// The gRPC listener with every service on it, health checks and reflection.
#ifndef NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_
#define NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/server.h"
#include "server/services/artifact_service.h"
#include "server/services/info_service.h"
#include "server/services/job_service.h"
#include "server/services/model_service.h"
#include "server/services/upload_service.h"

namespace nashswarm::server {

class GrpcServer {
 public:
  // Listens on "HOST:PORT" (0 picks a port) or "unix:/path". UNAVAILABLE / LISTEN_FAILED. `context` outlives it.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const std::string& listen, const ServiceContext* context);

  const std::string& address() const { return address_; }  // with the real port
  // Health checks say so from now on.
  void SetReady(bool ready);
  // Gives the calls that run until the timeout, then cancels them. Returns when all have ended.
  void Stop(std::chrono::milliseconds timeout);

 private:
  explicit GrpcServer(const ServiceContext* context)
      : uploads_(context), models_(context), jobs_(context), artifacts_(context), info_(context) {}

  UploadService uploads_;
  ModelService models_;
  JobService jobs_;
  ArtifactService artifacts_;
  InfoService info_;
  std::atomic<int> active_calls_{0};
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_
