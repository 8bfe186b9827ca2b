// Daemon: all parts of nashswarmd, wired together.
#ifndef NASHSWARM_SERVER_DAEMON_DAEMON_H_
#define NASHSWARM_SERVER_DAEMON_DAEMON_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/auth/access.h"
#include "server/config/config.h"
#include "server/daemon/admin_server.h"
#include "server/daemon/data_directory.h"
#include "server/daemon/grpc_server.h"
#include "server/daemon/readiness.h"
#include "server/events/event_hub.h"
#include "server/events/postgres_relay.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/maintenance.h"
#include "server/scheduler/scheduler.h"
#include "server/store/disk_room.h"
#include "server/store/store.h"
#include "server/worker/engine_runner.h"
#include "server/worker/task_runner.h"

namespace nashswarm::server {

class Daemon {
 public:
  // Serving when it returns.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const ServerConfig& config);
  ~Daemon();

  // Not ready, no new tasks, a while for balancers to notice, engines killed and their tasks released, watches ended, calls drained. Idempotent.
  void Stop();

 private:
  explicit Daemon(const ServerConfig& config);
  absl::Status OpenStores();
  absl::Status StartWork();
  absl::Status StartListeners();
  absl::Status WriteInfoFile();
  bool Sample(StateSample* sample);
  void SetReady(bool ready);
  absl::Status CheckStores();
  absl::Status KeepOnlyResults();

  ServerConfig config_;
  // In the order of construction; whoever uses something comes after it.
  std::unique_ptr<DataDirectory> directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<DiskRoom> room_;  // null: blobs are not on a disk of ours
  std::unique_ptr<BlobStore> blobs_;
  EventHub hub_;
  std::unique_ptr<PostgresRelay> relay_;
  Metrics metrics_;
  std::shared_ptr<StateCollector> state_collector_;
  StreamSlots streams_;
  std::unique_ptr<Access> access_;
  StreamWatchdog watchdog_;
  std::unique_ptr<EngineRunner> engine_;
  EngineDescription description_;
  std::unique_ptr<TaskRunner> runner_;
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<Scheduler> scheduler_;
  ServiceContext context_;
  std::unique_ptr<Readiness> readiness_;
  std::unique_ptr<HttpListener> admin_server_;
  std::unique_ptr<GrpcServer> grpc_server_;
  bool stopped_ = false;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_DAEMON_H_
