#include "server/daemon/grpc_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>

#include "core/base/status.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
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
constexpr int kMessageOverheadBytes = 64 << 10;
constexpr int kUsualMessageBytes = 4 << 20;

constexpr std::chrono::milliseconds kDrainPoll{10};
constexpr std::chrono::milliseconds kShutdownGrace{300};

constexpr std::string_view kUnixPrefix = "unix:";

absl::Status ListenFailed(const std::string& listen, const char* why) {
  return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED", absl::StrCat("cannot listen on ", listen, why),
                   "another server may use it: choose another --listen address, or port 0");
}

// gRPC removes an existing socket file before it binds, which would silently take over a living server's address.
bool SomebodyAnswers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return answered;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const std::string& listen,
                                                              const ServiceContext* context) {
  static std::once_flag plugins;  // gRPC keeps them for the whole process
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  const bool is_unix = listen.starts_with(kUnixPrefix);
  if (is_unix && SomebodyAnswers(listen.substr(kUnixPrefix.size()))) return ListenFailed(listen, ": it is in use");

  std::unique_ptr<GrpcServer> server(new GrpcServer(context));
  grpc::ServerBuilder builder;
  int port = -1;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&server->uploads_);
  builder.RegisterService(&server->models_);
  builder.RegisterService(&server->jobs_);
  builder.RegisterService(&server->artifacts_);
  builder.RegisterService(&server->info_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // two servers on one port are a mistake: say so
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingMs);
  builder.SetMaxReceiveMessageSize(std::max(
      kUsualMessageBytes, static_cast<int>(context->limits.max_chunk_bytes) + kMessageOverheadBytes));
  grpc::ResourceQuota quota("nashswarmd");
  quota.SetMaxThreads(context->limits.max_streams + kUnaryThreads);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, kPollTimeoutMs);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(NewMetricsInterceptor(context->metrics, &server->active_calls_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));

  // Nobody but the owner connects to a Unix socket: there is no other check on who is calling.
  const mode_t old_mask = is_unix ? umask(0077) : 0;
  server->server_ = builder.BuildAndStart();
  if (is_unix) umask(old_mask);
  if (server->server_ == nullptr || (!is_unix && port <= 0)) return ListenFailed(listen, "");
  server->address_ = is_unix ? listen : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  return server;
}

void GrpcServer::SetReady(bool ready) {
  if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(ready);
}

void GrpcServer::Stop(std::chrono::milliseconds timeout) {
  // gRPC's own grace waits for connections, not calls: an idle client that does not look at its socket (a C++ client
  // does every 5 s) would hold it up. So the waiting for calls is done here, and gRPC gets a moment for stragglers.
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (active_calls_ > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kDrainPoll);
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_->Wait();
}

}  // namespace nashswarm::server
