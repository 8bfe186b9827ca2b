// A server that is the cache of one program (--keep-only-results) starts and ends with nothing but results of stages.
#ifndef NASHSWARM_SERVER_SCHEDULER_ONLY_RESULTS_H_
#define NASHSWARM_SERVER_SCHEDULER_ONLY_RESULTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/store/blob_store.h"
#include "server/store/maintenance_store.h"

namespace nashswarm::server {

// MaintenanceStore::ForgetAllButResults, and removes the content that nothing names then, at once. While nothing runs: before the first
// call and worker, or after the last.
absl::Status KeepOnlyResults(MaintenanceStore& store, BlobStore& blobs, int64_t max_bytes);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SCHEDULER_ONLY_RESULTS_H_
