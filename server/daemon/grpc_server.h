// The gRPC listener with every service on it, health checks and reflection.
#ifndef NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_
#define NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/server.h"
#include "server/auth/tls_files.h"
#include "server/daemon/connection_gate.h"
#include "server/services/artifact_service.h"
#include "server/services/info_service.h"
#include "server/services/job_service.h"
#include "server/services/model_service.h"
#include "server/services/upload_service.h"
#include "server/store/store.h"

namespace nashswarm::server {

struct ListenOptions {
  std::string address;  // "HOST:PORT" (0 picks a port) or "unix:/path"
  bool serve_api = true;          // false: health and server information alone, what probes of a worker need
  std::shared_ptr<TlsFiles> tls;  // null: plaintext
  bool reflection = true;
  int max_connections = 0;  // 0: as many as the limit on open files leaves room for
  std::chrono::milliseconds max_connection_idle{0};  // 0: no limit
};

class GrpcServer {
 public:
  // UNAVAILABLE / LISTEN_FAILED. `context` and `store` outlive it.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const ListenOptions& options, ServiceContext* context,
                                                           Store* store);

  const std::string& address() const { return gate_->address(); }  // with the real port
  // Health checks say so from now on.
  void SetReady(bool ready);
  // Gives the calls that run until the timeout, then cancels them. Returns when all have ended.
  void Stop(std::chrono::milliseconds timeout);

 private:
  void SetLimits(const ListenOptions& options, const ServiceContext& context, grpc::ServerBuilder* builder);
  GrpcServer(const ServiceContext* context, Store* store)
      : uploads_(context, store),
        models_(context, store),
        jobs_(context, store, store),
        artifacts_(context, store),
        info_(context, store) {}

  UploadService uploads_;
  ModelService models_;
  JobService jobs_;
  ArtifactService artifacts_;
  InfoService info_;
  std::atomic<int> active_calls_{0};
  std::shared_ptr<TlsFiles> tls_;  // gRPC asks it at every handshake
  std::unique_ptr<ConnectionGate> gate_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_GRPC_SERVER_H_
