// The plaintext HTTP listener for those who run the server: GET /metrics (Prometheus), /healthz (200 while the process
// lives) and /readyz (200, or 503 and why not). It asks nobody who they are.
#ifndef NASHSWARM_SERVER_METRICS_ADMIN_SERVER_H_
#define NASHSWARM_SERVER_METRICS_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prometheus/collectable.h"

class CivetHandler;
class CivetServer;

namespace nashswarm::server {

class AdminServer {
 public:
  // `address` is "HOST:PORT"; port 0 picks a free one. `ready` is called from any thread and must not wait for anybody.
  // UNAVAILABLE / LISTEN_FAILED when the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(
      const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources,
      std::function<absl::Status()> ready);
  ~AdminServer();

  const std::string& address() const { return address_; }  // with the real port

 private:
  AdminServer() = default;
  std::vector<std::unique_ptr<CivetHandler>> pages_;  // outlive the server that calls them
  std::unique_ptr<CivetServer> server_;
  std::string address_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_METRICS_ADMIN_SERVER_H_
