// The HTTP listener that serves /metrics.
#ifndef NASHSWARM_SERVER_METRICS_METRICS_SERVER_H_
#define NASHSWARM_SERVER_METRICS_METRICS_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"

namespace prometheus {
class Exposer;
}

namespace nashswarm::server {

class MetricsServer {
 public:
  // `address` is "HOST:PORT"; port 0 picks a free one. UNAVAILABLE / LISTEN_FAILED when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources);
  ~MetricsServer();

  const std::string& address() const { return address_; }  // with the real port

 private:
  MetricsServer() = default;
  std::vector<std::shared_ptr<prometheus::Collectable>> sources_;  // the exposer holds weak pointers
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_METRICS_METRICS_SERVER_H_
