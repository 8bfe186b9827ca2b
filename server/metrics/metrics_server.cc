#include "server/metrics/metrics_server.h"

#include <exception>

#include "core/base/status.h"
#include "prometheus/exposer.h"

namespace nashswarm::server {

MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources) {
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  server->sources_ = std::move(sources);
  try {
    server->exposer_ = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/1);
    for (const auto& source : server->sources_) server->exposer_->RegisterCollectable(source);
    const std::vector<int> ports = server->exposer_->GetListeningPorts();
    const std::string host = address.substr(0, address.rfind(':'));
    server->address_ = absl::StrCat(host, ":", ports.empty() ? 0 : ports.front());
  } catch (const std::exception& error) {
    return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED",
                     absl::StrCat("cannot serve metrics on ", address, ": ", error.what()),
                     "choose another --metrics address, or none");
  }
  return server;
}

}  // namespace nashswarm::server
