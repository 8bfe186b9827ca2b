// MaintenanceStore: what housekeeping needs of the store: lost leases, what has expired, and garbage. What every part of the store
// promises: store.h.
#ifndef NASHSWARM_SERVER_STORE_MAINTENANCE_STORE_H_
#define NASHSWARM_SERVER_STORE_MAINTENANCE_STORE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/blob_store.h"
#include "server/store/task.h"

namespace nashswarm::server {

class MaintenanceStore {
 public:
  virtual ~MaintenanceStore() = default;

  // Tasks whose lease has run out go back to pending (or end with a cancelled job). A worker that vanishes is most likely
  // not the task's fault, so the attempt is given back; but a task that was lost `max_losses` times, or whose engine
  // crashed as often, fails its job as POISON.
  virtual absl::StatusOr<std::vector<LostTask>> ReapExpiredLeases(int max_losses) = 0;
  // The same for every lease: at start-up of the only process that uses the store.
  virtual absl::StatusOr<std::vector<LostTask>> ReapEveryLease(int max_losses) = 0;

  // Blobs that nothing names and that were not touched for `grace_us`, nor since any running task was claimed.
  virtual absl::StatusOr<std::vector<BlobDigest>> UnreferencedBlobs(int64_t grace_us, int limit) = 0;
  // Forgets the blob if that still holds, calling `remove` while no reference can be added; returns whether it did.
  virtual absl::StatusOr<bool> RemoveBlob(const std::string& sha256, int64_t grace_us,
                                          const std::function<absl::Status()>& remove) = 0;
  // Ends uploads past their expiry, a number of them at a time; returns how many. 0: there are no more.
  virtual absl::StatusOr<int64_t> ExpireUploads() = 0;
  virtual absl::StatusOr<std::vector<std::string>> ActiveUploads() = 0;
  // Drops ended uploads and kept task results older than these ages, a number of them at a time; returns how many.
  virtual absl::StatusOr<int64_t> ExpireRecords(int64_t upload_age_us, int64_t result_age_us) = 0;

  // Forgets everything, of every tenant, but kept task results, and of these the least recently used until the content of the
  // others has at most `max_bytes`. Nothing may be running: no worker, no call.
  virtual absl::Status ForgetAllButResults(int64_t max_bytes) = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_MAINTENANCE_STORE_H_
