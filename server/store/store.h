// Store: everything nashswarmd must not forget, except bytes (those are the BlobStore's). Uploads, models, jobs, their leased
// tasks, artifacts, and which blobs each of them names. It is five interfaces, by who reads them, and what is said here holds for
// each: a part of the server is given those that it needs, and only what opens the store, and its tests, see all.
//
// Every method may be called from any thread, is one transaction, and either happens whole or not at all. Returned
// values are copies the caller owns. Ids are bare ("01j..."); the API messages carry resource names ("jobs/01j...").
// Times are microseconds of the database clock, which is the only clock: durations go in, instants come out.
// Failures every method may have: UNAVAILABLE / DATABASE_BUSY or DATABASE_IO (try again), RESOURCE_EXHAUSTED /
// NO_SPACE, DATA_LOSS / DATABASE_CORRUPT. The others are named at the method.
//
// Tenants. What one tenant made another cannot see, not even that it is there: names are looked up within a tenant, and
// methods that take one answer NOT_FOUND for another's. Blobs are shared below: equal content is stored once.
//
// Fencing. A claim hands out a task with a new epoch; a WriteFile stream opens a file with a new writer epoch. Every
// later write names that epoch. When it matches no row the answer is ABORTED / FENCED (tasks) or WRITER_FENCED
// (uploads): somebody else has the work now, so the caller stops and discards what it did.
#ifndef NASHSWARM_SERVER_STORE_STORE_H_
#define NASHSWARM_SERVER_STORE_STORE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/job_store.h"
#include "server/store/maintenance_store.h"
#include "server/store/model_store.h"
#include "server/store/task_store.h"
#include "server/store/upload_store.h"

namespace nashswarm::server {

class Store : public UploadStore, public ModelStore, public JobStore, public TaskStore, public MaintenanceStore {
 public:
  // Calls of more than one of them, which are the same.
  absl::StatusOr<int64_t> NowMicros() override = 0;
  absl::Status RegisterBlob(const BlobDigest& digest) override = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_STORE_H_
