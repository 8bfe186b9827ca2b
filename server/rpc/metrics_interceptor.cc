#include "server/rpc/metrics_interceptor.h"

#include <chrono>
#include <string>
#include <string_view>

#include "grpcpp/server_context.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

const char* TypeName(ServerRpcInfo::Type type) {
  switch (type) {
    case ServerRpcInfo::Type::UNARY:
      return "unary";
    case ServerRpcInfo::Type::CLIENT_STREAMING:
      return "client_stream";
    case ServerRpcInfo::Type::SERVER_STREAMING:
      return "server_stream";
    case ServerRpcInfo::Type::BIDI_STREAMING:
      return "bidi_stream";
  }
  return "unknown";
}

RpcLabels LabelsOf(const ServerRpcInfo& info) {
  std::string_view method = info.method() == nullptr ? "" : info.method();  // "/package.Service/Method"
  if (method.starts_with('/')) method.remove_prefix(1);
  const size_t slash = method.find('/');
  if (slash == std::string_view::npos) return {TypeName(info.type()), "unknown", "unknown"};
  return {TypeName(info.type()), std::string(method.substr(0, slash)), std::string(method.substr(slash + 1))};
}

class MetricsInterceptor : public grpc::experimental::Interceptor {
 public:
  MetricsInterceptor(Metrics* metrics, std::atomic<int>* active, ServerRpcInfo* info)
      : metrics_(metrics),
        labels_(LabelsOf(*info)),
        active_(labels_.service.starts_with("nashswarm.") ? active : nullptr),
        info_(info),
        start_(std::chrono::steady_clock::now()) {
    metrics_->RpcStarted(labels_);
    if (active_ != nullptr) ++*active_;
  }
  ~MetricsInterceptor() override {
    if (active_ != nullptr) --*active_;
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE) &&
        methods->GetRecvMessage() != nullptr) {
      metrics_->RpcMessageReceived(labels_);
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      metrics_->RpcMessageSent(labels_);
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Handled(methods->GetSendStatus());
    }
    methods->Proceed();
  }

 private:
  void Handled(const grpc::Status& status) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    const char* code = GrpcCodeName(status.error_code());
    metrics_->RpcHandled(labels_, code, seconds);
    const std::string peer = info_->server_context() == nullptr ? "" : info_->server_context()->peer();
    // Anybody can cause refusals; Access writes them down at a bounded rate.
    const bool refused = status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
    const LogLevel level = status.ok() || refused ? LogLevel::kDebug : LogLevel::kInfo;
    Log(level, "rpc",
        {{"service", labels_.service}, {"method", labels_.method}, {"peer", peer}, {"code", code},
         {"seconds", seconds}, {"error", status.error_message()}});
  }

  Metrics* metrics_;
  RpcLabels labels_;
  std::atomic<int>* active_;  // null for calls that nobody waits for
  ServerRpcInfo* info_;
  std::chrono::steady_clock::time_point start_;
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Factory(Metrics* metrics, std::atomic<int>* active) : metrics_(metrics), active_(active) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new MetricsInterceptor(metrics_, active_, info);  // gRPC deletes it
  }

 private:
  Metrics* metrics_;
  std::atomic<int>* active_;
};

}  // namespace

const char* GrpcCodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {
      "OK",           "Canceled",          "Unknown",            "InvalidArgument", "DeadlineExceeded", "NotFound",
      "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",        "OutOfRange",
      "Unimplemented", "Internal",         "Unavailable",        "DataLoss",        "Unauthenticated"};
  const int index = static_cast<int>(code);
  return index >= 0 && index < static_cast<int>(std::size(kNames)) ? kNames[index] : "Unknown";
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewMetricsInterceptor(
    Metrics* metrics, std::atomic<int>* active) {
  return std::make_unique<Factory>(metrics, active);
}

}  // namespace nashswarm::server
