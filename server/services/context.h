// What every service needs: the limits it enforces and the parts it delegates to.
#ifndef NASHSWARM_SERVER_SERVICES_CONTEXT_H_
#define NASHSWARM_SERVER_SERVICES_CONTEXT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/maintenance.h"
#include "server/store/job_store.h"
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
  // The engine's limit on a safetensors header; shown, not enforced here.
  int64_t max_header_bytes = 100 << 20;
  int max_queued_jobs = 1000;
  int max_attempts = 3;
  // Streams hold a thread each while they last.
  int max_streams = 256;
  std::chrono::milliseconds upload_ttl{24LL * 3600 * 1000};
  std::chrono::milliseconds lease{60000};
  std::chrono::milliseconds keepalive{15000};
  // Received bytes become durable this often; what a lost connection costs at most.
  int64_t upload_part_bytes = 32 << 20;
};

// A bounded number of long-lived calls. Thread-safe.
class StreamSlots {
 public:
  explicit StreamSlots(int slots) : free_(slots) {}
  bool TryTake() {
    if (free_.fetch_sub(1) > 0) return true;
    ++free_;
    return false;
  }
  void Return() { ++free_; }

 private:
  std::atomic<int> free_;
};

// Pointers are not owned and outlive the services.
struct ServiceContext {
  JobStore* jobs = nullptr;
  BlobStore* blobs = nullptr;
  EventHub* hub = nullptr;
  Metrics* metrics = nullptr;
  TaskRunner* runner = nullptr;
  Maintenance* maintenance = nullptr;
  StreamSlots* streams = nullptr;
  Limits limits;
  int workers = 1;
  std::string version;
};

// Holds one stream slot for the length of a call; `status` is RESOURCE_EXHAUSTED / TOO_MANY_STREAMS when none is free.
class StreamSlot {
 public:
  explicit StreamSlot(StreamSlots* slots);
  ~StreamSlot() {
    if (status_.ok()) slots_->Return();
  }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  StreamSlots* slots_;
  absl::Status status_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_CONTEXT_H_
