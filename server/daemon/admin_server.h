// The plaintext HTTP listener for those who run the server: GET /metrics (Prometheus), /healthz (200 while the process
// lives) and /readyz (200, or 503 and why not). It asks nobody who they are.
#ifndef NASHSWARM_SERVER_DAEMON_ADMIN_SERVER_H_
#define NASHSWARM_SERVER_DAEMON_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prometheus/collectable.h"
#include "server/daemon/http_listener.h"

namespace nashswarm::server {

// `address` is "HOST:PORT"; port 0 picks a free one. `ready` is called from any thread and must not wait for anybody; a scrape
// may wait for the database, and probes do not wait for it. UNAVAILABLE / LISTEN_FAILED when the address cannot be bound.
absl::StatusOr<std::unique_ptr<HttpListener>> StartAdminServer(
    const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources,
    std::function<absl::Status()> ready);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_ADMIN_SERVER_H_
