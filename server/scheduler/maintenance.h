// Maintenance: housekeeping. One thread gives lost tasks back and ends abandoned uploads; another frees what nothing names, which may
// take long, and nobody waits for it.
#ifndef NASHSWARM_SERVER_SCHEDULER_MAINTENANCE_H_
#define NASHSWARM_SERVER_SCHEDULER_MAINTENANCE_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/events/event_hub.h"
#include "server/metrics/metrics.h"
#include "server/store/maintenance_store.h"

namespace nashswarm::server {

struct MaintenanceOptions {
  std::chrono::milliseconds reap_interval{5000};
  std::chrono::milliseconds gc_interval{60000};
  // How long a blob may be there before something names it: from storing a file to the transaction that uses it.
  std::chrono::milliseconds gc_grace{600000};
  std::chrono::milliseconds ended_upload_age{7LL * 24 * 3600 * 1000};
  std::chrono::milliseconds task_result_age{7LL * 24 * 3600 * 1000};
  int max_losses = 2;  // see MaintenanceStore::ReapExpiredLeases
};

class Maintenance {
 public:
  // Nothing is owned; everything outlives this object.
  Maintenance(MaintenanceStore* store, BlobStore* blobs, EventHub* hub, Metrics* metrics, MaintenanceOptions options)
      : store_(store), blobs_(blobs), hub_(hub), metrics_(metrics), options_(options) {}
  ~Maintenance() { Stop(); }

  void Start();
  // Begin nothing new: what goes on ends within one blob. Does not wait.
  void EndSoon();
  void Stop();  // and waits; idempotent
  // Something was deleted: collect now rather than at the next interval.
  void CollectSoon();

  // One round each; public for tests.
  absl::Status ReapOnce();
  absl::Status ExpireOnce();
  absl::Status CollectOnce();
  // Logs and counts what was reaped, and wakes who waits for it.
  void NoteLost(const std::vector<LostTask>& lost);

 private:
  void ReapLoop();
  void CollectLoop();
  absl::Status RemoveEndedUploads();
  absl::Status ExpireRecords();
  absl::Status RemoveGarbage();

  MaintenanceStore* store_;
  BlobStore* blobs_;
  EventHub* hub_;
  Metrics* metrics_;
  MaintenanceOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_ = false;  // set under mutex_, for who waits
  bool collect_soon_ = false;
  std::thread reaper_, collector_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_MAINTENANCE_H_
