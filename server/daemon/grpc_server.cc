#include "server/daemon/grpc_server.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "core/base/status.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "server/daemon/listeners.h"
#include "server/daemon/tls_credentials.h"
#include "server/rpc/metrics_interceptor.h"

namespace nashswarm::server {
namespace {

// Threads beyond those that streams may hold: look-ups always find one.
constexpr int kUnaryThreads = 64;
// A client that has vanished without a word is found within about this time, and its stream's thread is free again.
constexpr int kPingIntervalMs = 20000;
constexpr int kPingTimeoutMs = 10000;
// Clients may ping about as often as we do.
constexpr int kMinClientPingMs = 5000;
// gRPC's polling threads look for the end of the server this often (its default of 10 s makes every stop that slow).
constexpr int kPollTimeoutMs = 200;
// Time for TLS and the HTTP/2 preface: whoever sends neither is not kept.
constexpr int kHandshakeTimeoutMs = 10000;
// Metadata is a token and what tracing adds. gRPC's default of 8 KiB is too little for tokens with many claims.
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kMessageOverheadBytes = 64 << 10;
constexpr int kUsualMessageBytes = 4 << 20;

constexpr std::chrono::milliseconds kDrainPoll{10};
constexpr std::chrono::milliseconds kShutdownGrace{300};

// Whoever links gRPC's reflection has it on every server: it has to be taken off.
class NoReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const ListenOptions& options, ServiceContext* context,
                                                              Store* store) {
  static std::once_flag plugins;  // gRPC keeps them for the whole process
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  NS_ASSIGN_OR_RETURN(Listeners listeners, Listeners::Open(options.address));
  const int max_connections = options.max_connections > 0 ? options.max_connections : ConnectionsThatFit();
  std::unique_ptr<GrpcServer> server(new GrpcServer(context, store));
  server->tls_ = options.tls;
  server->gate_ = std::make_unique<ConnectionGate>(std::move(listeners), max_connections, context->metrics);
  context->on_caller = [gate = server->gate_.get()](const std::string& peer) { gate->Used(peer); };

  grpc::ServerBuilder builder;
  if (!options.reflection) builder.SetOption(std::make_unique<NoReflection>());
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      options.tls == nullptr ? grpc::InsecureServerCredentials() : NewTlsCredentials(options.tls));
  if (options.serve_api) {
    builder.RegisterService(&server->uploads_);
    builder.RegisterService(&server->models_);
    builder.RegisterService(&server->jobs_);
    builder.RegisterService(&server->artifacts_);
  }
  builder.RegisterService(&server->info_);
  server->SetLimits(options, *context, &builder);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(NewMetricsInterceptor(context->metrics, &server->active_calls_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED", "the gRPC server did not start");
  }
  server->gate_->Start(std::move(acceptor));
  return server;
}

void GrpcServer::SetLimits(const ListenOptions& options, const ServiceContext& context, grpc::ServerBuilder* builder) {
  const Limits& limits = context.limits;
  const int threads = limits.max_streams + kUnaryThreads;
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingIntervalMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingMs);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  // More calls at a time than there are threads only wait, each with memory of its own.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, threads);
  if (options.max_connection_idle.count() > 0) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, static_cast<int>(options.max_connection_idle.count()));
  }
  builder->SetMaxReceiveMessageSize(
      std::max(kUsualMessageBytes, static_cast<int>(limits.max_chunk_bytes) + kMessageOverheadBytes));
  grpc::ResourceQuota quota("nashswarmd");
  quota.SetMaxThreads(threads);
  builder->SetResourceQuota(quota);
  builder->SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, kPollTimeoutMs);
}

void GrpcServer::SetReady(bool ready) {
  if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(ready);
}

void GrpcServer::Stop(std::chrono::milliseconds timeout) {
  // gRPC's own grace waits for connections, not calls: an idle client that does not look at its socket (a C++ client
  // does every 5 s) would hold it up. So the waiting for calls is done here, and gRPC gets a moment for stragglers.
  const auto deadline = std::chrono::steady_clock::now() + timeout - kShutdownGrace;
  while (active_calls_ > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kDrainPoll);
  gate_->Stop();
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_->Wait();
}

}  // namespace nashswarm::server
