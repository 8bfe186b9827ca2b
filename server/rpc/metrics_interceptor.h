// Counts every RPC under the names of the gRPC ecosystem's server middleware, and logs those that fail.
#ifndef NASHSWARM_SERVER_RPC_METRICS_INTERCEPTOR_H_
#define NASHSWARM_SERVER_RPC_METRICS_INTERCEPTOR_H_

#include <atomic>
#include <memory>

#include "grpcpp/support/server_interceptor.h"
#include "server/metrics/metrics.h"

namespace nashswarm::server {

// `metrics` and `active`, which counts the calls of our own services that have not ended, outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewMetricsInterceptor(
    Metrics* metrics, std::atomic<int>* active);

// "OK", "NotFound", ...: the spelling of grpc_code in dashboards.
const char* GrpcCodeName(grpc::StatusCode code);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_RPC_METRICS_INTERCEPTOR_H_
