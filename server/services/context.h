// What every service needs: the limits it enforces and the parts it delegates to. The store is not among them: a service is given the
// part of it that it uses.
#ifndef NASHSWARM_SERVER_SERVICES_CONTEXT_H_
#define NASHSWARM_SERVER_SERVICES_CONTEXT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "server/auth/access.h"
#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/maintenance.h"
#include "server/services/stream_watchdog.h"
#include "server/store/blob_store.h"
#include "server/store/disk_room.h"
#include "server/worker/engine_description.h"
#include "server/worker/task_runner.h"

namespace nashswarm::server {

// A data file is a text or an importance matrix. Texts beyond this are cut to far fewer tokens anyway, and the engine
// reads them whole.
inline constexpr int64_t kMaxDataBytes = 1LL << 30;

struct Limits {
  // Below gRPC's customary 4 MiB message limit with room for the rest of the message.
  int64_t max_chunk_bytes = 2 << 20;
  int64_t max_file_bytes = 1LL << 40;
  int64_t max_upload_bytes = 4LL << 40;
  int max_files_per_upload = 2000;
  int max_queued_jobs = 1000;
  int max_attempts = 3;
  // Streams hold threads while they last: an upload three, a download two, a watch one.
  int max_streams = 256;
  std::chrono::milliseconds upload_ttl{24LL * 3600 * 1000};
  std::chrono::milliseconds lease{60000};
  std::chrono::milliseconds keepalive{15000};
  // Received bytes become durable this often; what a lost connection costs at most.
  int64_t upload_part_bytes = 32 << 20;
  // A client that sends nothing, or next to nothing, or does not take what it asked for, is not waited for; 0: it is.
  std::chrono::milliseconds upload_idle_timeout{60000};
  int64_t min_upload_rate = 1024;  // bytes a second
  std::chrono::milliseconds download_idle_timeout{60000};
};

// A bounded number of long-lived calls, in all and of each tenant. Thread-safe.
class StreamSlots {
 public:
  enum class Taken { kYes, kNoneLeft, kNoneLeftForTenant };

  explicit StreamSlots(int slots) : free_(slots) {}
  Taken TryTake(const std::string& tenant, int64_t tenant_slots);
  void Return(const std::string& tenant);

 private:
  std::mutex mutex_;  // guards what follows
  int free_;
  std::map<std::string, int64_t> of_tenant_;
};

// Pointers are not owned and outlive the services.
struct ServiceContext {
  BlobStore* blobs = nullptr;
  DiskRoom* room = nullptr;  // for uploads; null: as much as they like
  EventHub* hub = nullptr;
  Metrics* metrics = nullptr;
  TaskRunner* runner = nullptr;
  Maintenance* maintenance = nullptr;
  StreamSlots* streams = nullptr;
  Access* access = nullptr;
  StreamWatchdog* watchdog = nullptr;
  Limits limits;
  int workers = 1;
  std::string version;
  EngineDescription engine;
  std::function<void(const std::string& peer)> on_caller;  // told of every caller that was let in; may be empty
};

// Holds one stream slot for the length of a call; `status` is RESOURCE_EXHAUSTED / TOO_MANY_STREAMS when none is free,
// or none of this tenant's.
class StreamSlot {
 public:
  StreamSlot(const ServiceContext& context, const std::string& tenant);
  ~StreamSlot() {
    if (status_.ok()) slots_->Return(tenant_);
  }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  StreamSlots* slots_;
  const std::string tenant_;
  absl::Status status_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_CONTEXT_H_
